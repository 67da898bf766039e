"use strict";

// The page asks the server that it came from, under whatever name or path prefix that was: its content
// security policy lets it ask no other.
const here = new URL("..", location.href).href.replace(/\/$/, "");
const dark = matchMedia("(prefers-color-scheme: dark)");

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
