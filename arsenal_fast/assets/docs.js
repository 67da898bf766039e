"use strict";

// The page asks the server that it came from, under whatever name or path prefix that was: its content
// security policy lets it ask no other.
const here = new URL("..", location.href).href.replace(/\/$/, "");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Every answer has these; with each problem they would bury what is its own. The introduction names them.
const COMMON = /^(X-RateLimit-.*|RateLimit(-Policy)?|X-Request-Id)$/;

// Parameters that begin empty: with the moments and the cursor of the examples the audit would find nothing.
const EMPTY = new Set(["since", "until", "cursor"]);

function abridge(paths) {
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  for (const parameter of operations.flatMap(({ parameters = [] }) => parameters)) {
    if (EMPTY.has(parameter.name)) delete parameter.example;
  }
  for (const [status, { headers = {} }] of operations.flatMap(({ responses }) => Object.entries(responses))) {
    if (status < 400 || status === "429") continue;
    for (const name of Object.keys(headers)) if (COMMON.test(name)) delete headers[name];
  }
}

// A padlock that is open: the operation needs a service token and there is none. Closed: the token is sent with it.
// Operations that take a token without needing it have a closed one while there is a token, and none otherwise.
// Swagger UI takes an alternative without a token, {}, to be fulfilled always and shows a closed one: it is left out.
//
// The rest makes Swagger UI's page one that screen readers can read: a landmark around the introduction, a heading above those of the
// tags, no link within a button, and no choice of servers, for there is one.
function changedComponents(optional) {
  return ({ React }) => ({
    wrapComponents: {
      ServersContainer: () => () => null,
      DeepLink: () => ({ text }) => React.createElement("span", null, text),
      InfoContainer: (Original) => (properties) =>
        React.createElement("section", { "aria-label": "About the API" }, React.createElement(Original, properties)),
      operations: (Original) => (properties) =>
        React.createElement(
          React.Fragment,
          null,
          React.createElement("h2", { className: "unseen" }, "Operations"),
          React.createElement(Original, properties),
        ),
      OperationSummary: (Original) => (properties) => {
        const { path, method } = properties.operationProps.toJS();
        const summary = React.createElement(Original, properties);
        return optional.has(`${method} ${path}`) ? React.createElement("div", { className: "optional-token" }, summary) : summary;
      },
    },
  });
}

function withoutAlternatives(paths) {
  const optional = new Set();
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const needed = operation.security?.filter((requirement) => Object.keys(requirement).length);
      if (needed && needed.length < operation.security.length) optional.add(`${method} ${path}`);
      if (needed) operation.security = needed;
    }
  }
  return optional;
}

function followColourScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

function fail(error) {
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.setAttribute("role", "alert");
  notice.textContent = `The documentation could not be loaded: ${error.message}`;
  document.getElementById("swagger-ui").replaceChildren(notice);
}

async function start() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
  const spec = await answer.json();
  spec.servers = [{ url: here }];
  abridge(spec.paths);
  const optional = withoutAlternatives(spec.paths);
  SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [changedComponents(optional)],
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    defaultModelRendering: "example",
    displayRequestDuration: true,
    requestSnippetsEnabled: false,
    validatorUrl: null,
  });
}

followColourScheme();
dark.addEventListener("change", followColourScheme);
start().catch(fail);
