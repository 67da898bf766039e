"""Write the dashboard: ``python -m deploy.grafana.build`` (make dashboard). Its contents are in `panels.py`.

Built by Grafana's own SDK, whose types are generated from Grafana's schemas: what it takes, Grafana takes.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.panels import GREEN, ROWS, Panel, Row

FILE: Final = Path(__file__).parent / "dashboards" / "identity-service.json"
KUBERNETES: Final = Path(__file__).parents[2] / "k8s" / "components" / "monitoring" / FILE.name
"""A second copy: kustomize makes a ConfigMap only of files in its own directory."""

WIDTH: Final = 24  # of the grid
MOST: Final = 4  # panels beside each other, but for small ones

SELECTOR: Final = 'job="$job",instance=~"$instance"'
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

AnyPanel = timeseries.Panel | stat.Panel | heatmap.Panel


def expression(template: str) -> str:
    """Return the query that Grafana sends, before its own variables are filled in."""
    return template.replace("$s", SELECTOR).replace("$w", "$__rate_interval")


def build() -> str:
    """Return the dashboard's JSON."""
    board = (
        dashboard.Dashboard("Identity service")
        .uid("identity-service")
        .description("Is it well, and if not, where?")
        .tags(["identity-service"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone(words.TimeZoneBrowser)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_choice("job", "Job", "label_values(identity_service_up, job)"))
        .with_variable(
            _choice("instance", "Instance", 'label_values(identity_service_up{job="$job"}, instance)')
            .include_all(True)
            .multi(True)
            .all_value(".*")
        )
    )
    numbers = count(1)
    for row in ROWS:
        board = board.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            board = board.with_panel(_placed(row, panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def _placed(row: Row, panel: Panel) -> AnyPanel:
    beside = len(row.panels) if panel.kind == "stat" and row.height < 5 else min(len(row.panels), MOST)
    built = _KINDS[panel.kind](panel)
    built = built.title(panel.title).description(panel.why).unit(panel.unit).datasource(SOURCE)
    built = built.height(row.height).span(WIDTH // beside)
    for number, (legend, template) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expression(template)).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        query = query.legend_format(legend or "__auto")
        query = query.instant() if panel.kind == "stat" else query.range()
        if panel.kind == "heatmap":
            query = query.format(PromQueryFormat.HEATMAP)
        built = built.with_target(query)
    return built


def _lines(panel: Panel) -> timeseries.Panel:
    lines = timeseries.Panel().fill_opacity(10).show_points(words.VisibilityMode.NEVER).min(0)
    lines = lines.legend(
        common.VizLegendOptions()
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    lines = lines.tooltip(
        common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI).sort(words.SortOrder.DESCENDING)
    )
    if panel.stacked:
        lines = lines.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL))
    return lines


def _number(panel: Panel) -> stat.Panel:
    number = stat.Panel().graph_mode(words.BigValueGraphMode.NONE).color_mode(words.BigValueColorMode.BACKGROUND)
    number = number.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).no_value("no data")
    number = number.thresholds(
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in panel.steps])
    )
    if panel.words:
        options = {
            str(value): model.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, text, color) in enumerate(panel.words)
        }
        number = number.mappings([model.ValueMap(options=options)])
    elif panel.steps == ((None, GREEN),):
        number = number.color_mode(words.BigValueColorMode.NONE)  # a figure without a verdict
    return number


def _cloud(_panel: Panel) -> heatmap.Panel:
    return heatmap.Panel().color(
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    )


_KINDS: Final[dict[str, Callable[[Panel], AnyPanel]]] = {"timeseries": _lines, "stat": _number, "heatmap": _cloud}


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    for file in (FILE, KUBERNETES):
        file.write_text(build(), encoding="utf-8")
