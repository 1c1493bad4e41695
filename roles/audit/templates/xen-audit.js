// SPDX-FileCopyrightText: 2026 The xen.blockdev authors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Draws the guests of a host when it is opened, searches, and follows links. All texts are set as
// text: nothing here makes markup of a string, and the page's policy forbids it.
"use strict";

const FOUND_AT_ONCE = 100; // disks of a search that are drawn before someone asks for more
const MANY_GUESTS = 20; // of so many, the browser lays out only those that are on the screen
const COLUMNS = ["storage", "loop device or volume", "slot", "what the guest has"];
const LAYERS = ["storage", "binding", "slot", "guest"];
const RANKS = ["error", "warning", "note", "accepted"];

const byId = (id) => document.getElementById(id);
const tools = byId("tools");
const query = byId("query");
const only = byId("only");
const more = byId("more");

// ---- the data ----

const general = JSON.parse(byId("data").textContent);

// A value that page_text.packed has made: a list that begins with the number of its shape and goes
// on with the fields of that, or one that begins with -1 and goes on with the items of a list.
function unpacked(value) {
  if (!Array.isArray(value)) return value;
  const [shape, ...parts] = value;
  const values = parts.map(unpacked);
  if (shape < 0) return values;
  return Object.fromEntries(general.shapes[shape].map((name, n) => [name, values[n]]));
}

const marks = new Map(unpacked(general.marks).map((mark) => [mark.id, mark]));

const hosts = [...document.querySelectorAll("details.host")].map((element) => ({
  element,
  name: element.querySelector("h2").textContent,
  ownName: (element.querySelector(".own-name") || element.querySelector("h2")).textContent,
  said: element.querySelector("summary").textContent,
  guests: null,
  entries: null,
}));

function guestsOf(host) {
  if (!host.guests) {
    const data = host.element.querySelector("script");
    host.guests = unpacked(JSON.parse(data.textContent));
    data.remove();
  }
  return host.guests;
}

function marksOf(ids) {
  const known = ids.map((id) => marks.get(id)).filter(Boolean);
  return known.sort((one, other) => RANKS.indexOf(one.severity) - RANKS.indexOf(other.severity));
}

// ---- elements ----

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

function drawnMark(mark) {
  return element(
    "a",
    { class: `mark ${mark.severity}`, href: `#finding/${encodeURIComponent(mark.id)}` },
    icon(mark.severity),
    unseen(`${mark.severity}: `),
    mark.words,
  );
}

// ---- a guest and its disks ----

// In a host, what is drawn has the ids to which links lead. In the results of a search it leads
// there itself.
function drawnGuest(guest, disks, hostName) {
  const isResult = hostName !== null;
  const title = isResult
    ? element("a", { href: `#${guest.anchor}` }, `${hostName} / ${guest.name}`)
    : guest.name;
  const own = marksOf(guest.findings);
  const isClean = !own.length && !disks.some((disk) => disk.findings.length);
  return element(
    "section",
    { class: isClean ? "guest clean" : "guest", id: isResult ? null : guest.anchor, tabindex: "-1" },
    element(
      "div",
      { class: "about" },
      element("h3", { class: `state ${guest.state}` }, title),
      element("span", { class: "word" }, guest.state),
      element("span", {}, guest.facts),
      ...own.map(drawnMark),
    ),
    disks.length ? drawnDisks(guest, disks, isResult) : element("p", { class: "detail" }, "no disks"),
  );
}

function drawnDisks(guest, disks, isResult) {
  const heads = COLUMNS.map((title) => element("th", { scope: "col", role: "columnheader" }, title));
  return element(
    "table",
    { role: "table" },
    element("caption", { class: "unseen" }, `Disks of ${guest.name}`),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)),
    element("tbody", { role: "rowgroup" }, ...disks.map((disk) => drawnDisk(disk, isResult))),
  );
}

function drawnDisk(disk, isResult) {
  const own = marksOf(disk.findings);
  const cells = disk.layers.map((layer, n) => {
    const isSlot = LAYERS[n] === "slot";
    // What has no layer is beside the slot.
    const here = own.filter((mark) => mark.layer === LAYERS[n] || (isSlot && !mark.layer));
    const open = here.filter((mark) => mark.severity !== "accepted");
    const breaks = n > 0 && open.length > 0 && open[0].layer ? open[0] : null;
    const rest = here.filter((mark) => mark !== breaks);
    const worst = open.length ? open[0].severity : "";
    const name = isSlot && isResult ? element("a", { href: `#${disk.anchor}` }, layer.name) : layer.name;
    return element(
      isSlot ? "th" : "td",
      { class: `layer ${layer.state} ${worst}`, scope: isSlot ? "row" : null, role: isSlot ? "rowheader" : "cell" },
      n > 0 ? drawnConnector(breaks, disk.layers[n - 1], layer) : null,
      element(
        "div",
        { class: "box", "data-column": COLUMNS[n] },
        element("span", { class: "name" }, name),
        layer.detail ? element("span", { class: "detail" }, layer.detail) : null,
        ...rest.map(drawnMark),
        n === 0 && disk.sharing.length ? drawnSharing(disk) : null,
      ),
    );
  });
  const id = isResult ? null : disk.anchor;
  return element("tr", { class: own.length ? null : "clean", role: "row", id, tabindex: "-1" }, ...cells);
}

function drawnConnector(breaks, before, layer) {
  if (breaks) {
    const kind = `connector broken ${breaks.severity}`;
    return element("div", { class: kind }, unseen("broken here: "), drawnMark(breaks));
  }
  const isWhole = before.state !== "absent" && layer.state !== "absent";
  return element("div", { class: isWhole ? "connector" : "connector loose", "aria-hidden": "true" });
}

function drawnSharing(disk) {
  const others = disk.sharing.map((other) =>
    other.anchor ? element("a", { href: `#${other.anchor}` }, other.name) : element("span", {}, other.name),
  );
  if (disk.more_sharing) others.push(element("span", {}, `${disk.more_sharing} more`));
  const listed = others.flatMap((other, n) => (n ? [", ", other] : [other]));
  return element("span", { class: "sharing" }, icon("shared"), "same data: ", ...listed);
}

function draw(host) {
  const place = host.element.querySelector(".guests");
  if (place.childElementCount || host.element.classList.contains("unread")) return;
  const guests = guestsOf(host);
  const heads = COLUMNS.map((title) => element("span", {}, title));
  place.classList.toggle("many", guests.length > MANY_GUESTS);
  place.append(element("div", { class: "columns", "aria-hidden": "true" }, ...heads));
  place.append(...guests.map((guest) => drawnGuest(guest, guest.disks, null)));
}

// ---- search ----

// Texts that are searched, in small letters, with a line break around each field.
let listed = null;

function searchable(...fields) {
  return `\n${fields.join("\n")}\n`.toLowerCase();
}

// The disks of a host, and its guests that have none.
function entriesOf(host) {
  host.entries = host.entries || guestsOf(host).flatMap((guest) => {
    const facts = guest.facts.split(/ · |, /).map((fact) => fact.replace(/^domain /, ""));
    const names = [host.name, host.ownName, guest.name, guest.state, ...facts];
    const entry = { host, guest, disk: null, isMarked: guest.findings.length > 0, text: searchable(...names) };
    if (!guest.disks.length) return [entry];
    return guest.disks.map((disk) => {
      const parts = disk.layers.flatMap((layer) => [layer.name, ...layer.detail.split(" · ")]);
      const isMarked = entry.isMarked || disk.findings.length > 0;
      return { ...entry, disk, isMarked, text: searchable(...names, disk.slot, ...parts) };
    });
  });
  return host.entries;
}

function findingsListed() {
  listed = listed || [...document.querySelectorAll("#findings li")].map((item) => ({
    item,
    group: item.closest("details"),
    text: searchable(item.textContent, item.closest("details").querySelector("h3").textContent),
  }));
  return listed;
}

// While nobody needs the browser, so that the first search does not wait.
function prepare(deadline) {
  const next = hosts.find((host) => !host.entries);
  if (!next) return;
  if (deadline.timeRemaining() > 5) entriesOf(next);
  requestIdleCallback(prepare);
}

const hasAll = (text, words) => words.every((word) => text.includes(word));

let found = [];
let drawn = 0;

function search() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  const isSearch = words.length > 0;
  document.body.classList.toggle("searching", isSearch);
  byId("results").hidden = !isSearch;
  found = isSearch ? matching(words) : [];
  drawn = 0;
  byId("found").replaceChildren();
  if (isSearch) showMore();
  const findings = showFindings(words);
  const shown = new Set(found.map((entry) => entry.host));
  for (const host of hosts) {
    const isShown = shown.has(host) || hasAll(searchable(host.said), words);
    tileOf(host).hidden = !isShown;
  }
  const disks = found.filter((entry) => entry.disk).length;
  const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  byId("hits").textContent = isSearch
    ? `${counted(disks, "disk")}, ${counted(findings, "finding")}, ${counted(shown.size, "host")}`
    : "";
}

// Those come first of which each word is a whole name or number.
function matching(words) {
  const entries = hosts.flatMap(entriesOf);
  const all = entries.filter((entry) => (entry.isMarked || !only.checked) && hasAll(entry.text, words));
  const whole = words.map((word) => `\n${word}\n`);
  const isExact = (entry) => hasAll(entry.text, whole);
  return [...all.filter(isExact), ...all.filter((entry) => !isExact(entry))];
}

function showMore() {
  const next = found.slice(drawn, drawn + FOUND_AT_ONCE);
  const byGuest = new Map();
  for (const entry of next) {
    if (!byGuest.has(entry.guest)) byGuest.set(entry.guest, { host: entry.host, disks: [] });
    if (entry.disk) byGuest.get(entry.guest).disks.push(entry.disk);
  }
  for (const [guest, part] of byGuest) {
    byId("found").append(drawnGuest(guest, part.disks, part.host.name));
  }
  drawn += next.length;
  more.hidden = drawn >= found.length;
  more.textContent = `Show more (${(found.length - drawn).toLocaleString("en")} left)`;
  if (!found.length) byId("found").append(element("p", { class: "remark" }, "No disk matches."));
}

function showFindings(words) {
  const groups = new Map();
  for (const { item, group, text } of findingsListed()) {
    item.hidden = !hasAll(text, words);
    groups.set(group, (groups.get(group) || 0) + !item.hidden);
  }
  for (const [group, count] of groups) {
    group.hidden = !count;
    const shown = group.querySelector(".count");
    shown.hidden = count < 2;
    shown.firstChild.data = count;
  }
  return [...groups.values()].reduce((sum, count) => sum + count, 0);
}

function tileOf(host) {
  return document.querySelector(`#hosts a[href="#${CSS.escape(host.element.id)}"]`).parentElement;
}

// ---- links ----

// The part of the address behind "#": finding/ID, host/NAME, guest/HOST/NAME, disk/HOST/NAME/SLOT, or
// search/WORDS.
function follow() {
  const address = location.hash.slice(1);
  const [kind, name] = address.split("/");
  const words = kind === "search" ? decodeURIComponent(address.slice("search/".length)) : "";
  if (words !== query.value) {
    query.value = words;
    search();
  }
  if (kind === "guest" || kind === "disk") {
    const host = hosts.find((one) => one.element.id === `host/${name}`);
    if (!host) return;
    draw(host);
  }
  const target = byId(address);
  if (target) show(target);
}

function show(target) {
  for (let outer = target; outer; outer = outer.parentElement) {
    if (outer.tagName === "DETAILS") outer.open = true;
  }
  for (const host of hosts) if (host.element.open) draw(host);
  for (const other of document.querySelectorAll(".here")) other.classList.remove("here");
  const place = target.tagName === "DETAILS" ? target.querySelector("summary") : target;
  place.classList.add("here");
  place.scrollIntoView({ block: "start" });
  place.focus({ preventScroll: true });
}

// ---- start ----

for (const link of document.querySelectorAll("a[data-to]")) {
  link.setAttribute("href", `#${link.dataset.to}`);
}
for (const host of hosts) {
  if (host.element.open) draw(host);
  host.element.addEventListener("toggle", () => host.element.open && draw(host));
}
query.addEventListener("input", () => {
  search();
  const words = query.value.trim() ? `#search/${encodeURIComponent(query.value)}` : "";
  history.replaceState(null, "", location.pathname + location.search + words);
});
tools.addEventListener("change", (event) => {
  if (event.target === only) {
    document.body.classList.toggle("only", only.checked);
    search();
  } else if (event.target.type === "checkbox") {
    document.body.classList.toggle(`no-${event.target.name}`, !event.target.checked);
  }
});
tools.addEventListener("submit", (event) => {
  event.preventDefault();
  const first = byId("found").querySelector("a");
  if (first) first.focus();
});
more.addEventListener("click", showMore);
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox])");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    query.focus();
    query.select();
  } else if (event.key === "Escape" && query.value) {
    query.value = "";
    query.dispatchEvent(new Event("input"));
    query.focus();
  }
});
window.addEventListener("hashchange", follow);
byId("unfold").addEventListener("click", () => {
  for (const host of hosts) host.element.open = true;
});
byId("no-script").hidden = true;
for (const tool of [tools, byId("unfold")]) tool.hidden = false;
if (window.requestIdleCallback) requestIdleCallback(prepare);
if (location.hash) follow();
