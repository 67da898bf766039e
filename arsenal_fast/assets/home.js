"use strict";

// The button gets an identity and shows it with its life; the curl below does the same from a terminal.

const root = new URL("../../", document.currentScript.src).href; // also below a path prefix of a proxy
const ISSUE = `${root}api/v1/id?prefix=player`;
const LIMITED = 429;

const $ = (id) => document.getElementById(id);
let life = null; // {generated, expires} in milliseconds

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function minutes(seconds) {
  return seconds < 120 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`;
}

function showLife() {
  if (life === null) return;
  const left = Math.max(0, life.expires - Date.now());
  $("life").value = left / (life.expires - life.generated);
  $("left").textContent = left ? `It expires in ${minutes(left / 1000)}.` : "It has expired.";
}

function showIdentity({ id, generated, expires }) {
  life = { generated: Date.parse(generated), expires: Date.parse(expires) };
  $("identity").textContent = id;
  $("result").hidden = $("check").hidden = false;
  const body = quoted(JSON.stringify({ identity: id }));
  $("check-curl").textContent = `curl ${quoted(`${root}api/v1/validate`)} \\\n  --json ${body}`;
  showLife();
}

async function issue() {
  const response = await fetch(ISSUE, { headers: { Accept: "application/json" }, cache: "no-store" });
  const body = await response.json();
  if (response.ok) {
    showIdentity(body);
    return "";
  }
  const wait = Number(response.headers.get("Retry-After"));
  if (response.status === LIMITED) return `You have used up your requests. Try again in ${minutes(wait)}.`;
  return `The service answered ${response.status}: ${body.detail ?? body.title}`;
}

$("issue").addEventListener("click", async () => {
  $("issue").disabled = true;
  try {
    $("message").textContent = await issue();
  } catch {
    $("message").textContent = "The service does not answer.";
  } finally {
    $("issue").disabled = false;
  }
});

$("curl").textContent = `curl ${quoted(ISSUE)}`;
setInterval(showLife, 1000);
