// Keeps pages up to date and completes what is typed. Everything works without it.
"use strict";

const COMPLETION_PAUSE_MS = 150;
const RECONNECT_PAUSE_MS = 5000;
const REFRESH_PAUSE_MS = 1000;
const MOST_POINTS = 120;
const TOKEN_COOKIE = "dfuse_token";
const PAGE_TOKEN_COOKIE = "dfuse_page_token";

function cookie(name) {
  const pair = document.cookie.split("; ").find((it) => it.startsWith(name + "="));
  return pair ? decodeURIComponent(pair.slice(name.length + 1)) : "";
}

// For the key that the reader gave, or else for the one that pages act with.
function token() {
  return cookie(TOKEN_COOKIE) || cookie(PAGE_TOKEN_COOKIE);
}

function authorization() {
  const known = token();
  return known ? { Authorization: "Bearer " + known } : {};
}

function say(text) {
  const state = document.getElementById("state");
  if (state && state.textContent !== text) state.textContent = text;
}

// The page as it is now: its live parts take the place of those that are shown, but for what the reader has opened.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll(".live[id]")) {
    const newer = page.getElementById(part.id);
    if (newer && newer.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      const open = new Set(Array.from(part.querySelectorAll("details[open][id]"), (it) => it.id));
      for (const details of newer.querySelectorAll("details[id]")) if (open.has(details.id)) details.open = true;
      part.replaceWith(document.adoptNode(newer));
    }
  }
  plot();
  if (page.body.dataset.live) document.body.dataset.live = page.body.dataset.live;
  else delete document.body.dataset.live;
}

// Many messages become one refresh.
let waiting = false;
let last = 0;
function refreshSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(async () => {
    waiting = false;
    last = Date.now();
    await refresh().catch(() => say("The server cannot be reached."));
  }, Math.max(0, last + REFRESH_PAUSE_MS - Date.now()));
}

function follow() {
  if (!document.body.dataset.live) return say("");
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const query = token() ? "?token=" + encodeURIComponent(token()) : "";
  const socket = new WebSocket(scheme + location.host + "/v1/stream" + query);
  socket.onopen = () => {
    socket.send(document.body.dataset.live);
    say("Live.");
  };
  socket.onmessage = ({ data }) => {
    const { type } = JSON.parse(data);
    if (!["listening", "ping", "error"].includes(type)) refreshSoon();
    if (!document.body.dataset.live) socket.close();
  };
  socket.onclose = () => {
    if (!document.body.dataset.live) return say("");
    say("Not live at the moment.");
    setTimeout(follow, RECONNECT_PAUSE_MS);
  };
}

// What a figure was since the page was opened.
const series = new Map();
function plot() {
  for (const svg of document.querySelectorAll("svg[data-series]")) {
    const name = svg.dataset.series;
    const points = series.get(name) || [];
    series.set(name, points);
    points.push({ at: Date.now(), value: Number(svg.dataset.value) });
    if (points.length > MOST_POINTS) points.shift();
    const growth = (point, at) => (1000 * (point.value - points[at].value)) / Math.max(1, point.at - points[at].at);
    const isRate = svg.dataset.kind === "rate";
    const values = isRate ? points.slice(1).map(growth) : points.map((point) => point.value);
    if (!values.length) continue;
    const shown = document.querySelector(`[data-rate="${CSS.escape(name)}"]`);
    if (shown) shown.textContent = values.at(-1).toFixed(1);
    draw(svg, values);
  }
}

function draw(svg, values) {
  const [most, least] = [Math.max(...values), Math.min(...values)];
  const room = most - least || 1;
  const place = (value, at) => [(120 * at) / (MOST_POINTS - 1), most === least ? 15 : 2 + (26 * (most - value)) / room];
  const line = document.createElementNS(svg.namespaceURI, "polyline");
  line.setAttribute("points", values.map((value, at) => place(value, at).join(",")).join(" "));
  svg.replaceChildren(line);
}

// A slider beside the box of a number: where it is let go, the form is sent.
function slide(input) {
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: input.min, max: input.max, value: input.value });
  slider.addEventListener("input", () => (input.value = slider.value));
  slider.addEventListener("change", () => input.form.requestSubmit());
  const label = document.createElement("label");
  label.className = "slider";
  label.append(input.dataset.slider, slider);
  input.form.prepend(label);
}

function complete(input) {
  const list = document.getElementById("completions");
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    const prefix = input.value.trim();
    if (!prefix) return list.replaceChildren();
    timer = setTimeout(async () => {
      const address = "/v0/search/completion?prefix=" + encodeURIComponent(prefix);
      const answer = await fetch(address, { headers: authorization() }).catch(() => null);
      if (!answer || !answer.ok || input.value.trim() !== prefix) return;
      const suggestions = (await answer.json()).flatMap((section) => section.suggestions);
      list.replaceChildren(...suggestions.map(({ label }) => new Option(label, label)));
    }, COMPLETION_PAUSE_MS);
  });
}

// A key becomes a token, which a cookie keeps for pages and streams.
function takeKey(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = new FormData(form).get("key");
    const body = JSON.stringify({ api_key: key });
    const answer = await fetch("/v1/auth/issue", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await answer.json();
    if (!answer.ok) return say(said.message || "The key is not valid.");
    const age = Math.max(0, said.expires_at - Math.floor(Date.now() / 1000));
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${TOKEN_COOKIE}=${encodeURIComponent(said.token)}; Path=/; SameSite=Strict; Max-Age=${age}${secure}`;
    location.reload();
  });
}

// Where a list reaches the end of the screen, its next page comes by itself, up to so many; then it is asked for.
const PAGES_BY_THEMSELVES = 10;

// The next page of a list is put below this one.
function extend(list) {
  let left = PAGES_BY_THEMSELVES;
  const watcher = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting && left-- > 0) target.click();
  });
  const watch = () => list.querySelectorAll("a.more").forEach((link) => watcher.observe(link));
  watch();
  list.addEventListener("click", async (event) => {
    const link = event.target.closest("a.more");
    if (!link) return;
    event.preventDefault();
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok) return location.assign(link.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const rows = page.querySelector("#" + list.id + " tbody");
    const more = page.querySelector("#" + list.id + " a.more");
    const body = list.querySelector("tbody");
    if (!link.isConnected) return;
    if (rows && body) body.append(...rows.children);
    if (more) link.replaceWith(more);
    else link.remove();
    watch();
  });
}

follow();
plot();
const seconds = Number(document.body.dataset.every);
if (seconds) setInterval(() => document.hidden || refreshSoon(), 1000 * seconds);
for (const input of document.querySelectorAll("input[data-slider]")) slide(input);
const box = document.getElementById("q");
if (box) complete(box);
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || !box) return;
  event.preventDefault();
  box.focus();
});
for (const form of document.querySelectorAll("form.key")) takeKey(form);
for (const list of document.querySelectorAll(".extends[id]")) extend(list);
