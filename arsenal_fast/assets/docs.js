"use strict";

// The page asks the server that it came from, under whatever name or path prefix that was: its content
// security policy lets it ask no other.
const here = new URL("..", location.href).href.replace(/\/$/, "");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Every answer has these; with each problem they would bury what is its own. The introduction names them.
const COMMON = /^(X-RateLimit-.*|RateLimit(-Policy)?|X-Request-Id)$/;

function abridge(paths) {
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  for (const [status, { headers = {} }] of operations.flatMap(({ responses }) => Object.entries(responses))) {
    if (status < 400 || status === "429") continue;
    for (const name of Object.keys(headers)) if (COMMON.test(name)) delete headers[name];
  }
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
  SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
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
