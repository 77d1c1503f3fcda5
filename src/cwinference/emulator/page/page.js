// The emulator's page. It reads by the admin routes, which leave no trace in the log of requests, and changes resources
// by the API, in Connect's JSON form. All text goes into the page as text nodes, never as HTML.
"use strict";

const POLL_MS = 1000;
const TIMEOUT_MS = 10000;
const SHOWN_REQUESTS = 200;
const KEPT_REQUESTS = 1000;
const HISTORY = 30;
const PACKAGE = "coreweave.inference.v1alpha1";
const STATES = {
  READY: ["✓", "good"],
  COMPLETED: ["✓", "good"],
  CREATING: ["…", "busy"],
  UPDATING: ["…", "busy"],
  DELETING: ["…", "busy"],
  PENDING: ["…", "busy"],
  IN_PROGRESS: ["…", "busy"],
  ERROR: ["!", "bad"],
  FAILED: ["✕", "bad"],
  CANCELED: ["–", "idle"],
};
const KINDS = { gateway: "Gateway", deployment: "Deployment", capacity_claim: "Capacity claim", hot_load: "Hot-load" };
const SHAPES = ["svg", "rect"];
const MESSAGES = { gateway: "Gateway", deployment: "Deployment", capacity_claim: "CapacityClaim" };

let token = "";
let state = null;
let faults = [];
let clockRuns = true;
let requests = [];
let lastRequest = 0;
let quietPolls = 0;
let paused = false;
let timer = 0;
let polling = null;
let connected = false;
const switchedOff = { faults: [], fates: Object.create(null) };
const histories = new Map();
const conversation = [];
let generation = null;

// ---- The document ----

const $ = (id) => document.getElementById(id);

/** Creates an element; attributes that are false or undefined are left out, children may be strings. */
function h(tag, attributes = {}, ...children) {
  const element = SHAPES.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined && value !== null)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== ""));
  return element;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

/** Makes an element's children equal to others. Those that stay keep the focus, and whether they are open. */
function setChildren(parent, ...wanted) {
  wanted = wanted.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== "");
  wanted = wanted.map((each) => (each instanceof Node ? each : document.createTextNode(each)));
  const keys = new Set(wanted.map(keyOf).filter(Boolean));
  const keyed = new Map();
  for (const child of [...parent.childNodes]) {
    const key = keyOf(child);
    if (key && keys.has(key)) keyed.set(key, child);
    else if (key) child.remove();
  }
  let at = parent.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    const match = key ? keyed.get(key) : at && !keyOf(at) ? at : null;
    if (!match) parent.insertBefore(next, at);
    else {
      if (match === at) at = at.nextSibling;
      else parent.insertBefore(match, at);
      become(match, next);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

function become(old, next) {
  if (old.nodeName !== next.nodeName) old.replaceWith(next);
  else if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
  } else {
    for (const { name } of [...old.attributes])
      if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    setChildren(old, ...next.childNodes);
  }
}

function setOptions(select, options) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options === wanted) return;
  const before = select.value;
  select.dataset.options = wanted;
  select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  if (options.some(([value]) => value === before)) select.value = before;
}

function announce(text) {
  $("announcer").textContent = text;
}

function showProblem(text) {
  if ($("problem").textContent !== text) $("problem").textContent = text;
  $("problem").hidden = !text;
}

function badge(name) {
  const [sign, kind] = STATES[name] || ["?", "idle"];
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, sign), ` ${name}`);
}

const button = (text, action, more = {}) => h("button", { type: "button", "data-action": action, ...more }, text);
const facts = (...pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const clockTime = (iso) => (iso ? iso.slice(11, 19) : "");

// ---- The emulator ----

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function send(path, { verb = "POST", body, signal = AbortSignal.timeout(TIMEOUT_MS) } = {}) {
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  return fetch(path, {
    method: verb,
    headers,
    body: text,
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
}

async function read(response) {
  const text = await response.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    value = null;
  }
  if (response.ok && (value !== null || !text)) return value;
  const error = (value && (value.error || value)) || {};
  const message =
    error.message || (response.ok ? "the response is not JSON" : `HTTP ${response.status} ${text.slice(0, 200)}`);
  throw new Refused(response.status, error.code, String(message));
}

const admin = async (verb, path, body) => read(await send(`_emulator/${path}`, { verb, body }));

/** Calls a method of the API: `call("GatewayService/GetGateway", {...})`. */
const call = async (method, request) => read(await send(`${PACKAGE}.${method}`, { body: request }));

// ---- What is there ----

const of = (kind) =>
  state ? state.resources.filter((each) => each.kind === kind).map((each) => ({ ...each, ...each.resource })) : [];
const stateOf = (each) =>
  String((each.status || {}).status || (each.status || {}).state || "").replace(/^(HOT_LOAD_)?STAT(US|E)_/, "");
const nameOf = (each) => each.spec.name || each.spec.identity || each.spec.id;
const fateKeys = (each) => [nameOf(each), each.spec.id].filter((key) => Object.hasOwn(state.fates, key));
const fateOf = (each) => state.fates[fateKeys(each)[0]];

/** Notes what changed in a resource since the last look, with the times that the emulator gives. */
function remember(each) {
  const now = stateOf(each);
  const status = each.status || {};
  const history = histories.get(each.spec.id) || { state: "", seen: new Set(), entries: [] };
  histories.set(each.spec.id, history);
  for (const condition of [...(status.conditions || [])].sort((a, b) =>
    a.lastUpdateTime < b.lastUpdateTime ? -1 : 1,
  )) {
    const id = [condition.type, condition.zone, condition.status, condition.reason, condition.lastUpdateTime].join(" ");
    if (history.seen.has(id)) continue;
    history.seen.add(id);
    history.entries.unshift([
      condition.lastUpdateTime,
      `${condition.type} ${truth(condition.status)}: ${condition.reason}`,
    ]);
  }
  if (history.state !== now) {
    history.entries.unshift([
      status.updatedAt || status.createdAt || state.now,
      history.state ? `${history.state} → ${now}` : now,
    ]);
    if (history.state) announce(`${KINDS[each.kind]} ${nameOf(each)} is ${now}`);
    history.state = now;
  }
  history.entries.splice(HISTORY);
}

const truth = (status) => (status === "STATUS_TRUE" ? "true" : status === "STATUS_FALSE" ? "false" : "unknown");

async function refresh() {
  // One round at a time; a change that comes while one is on its way gets another one after it.
  const before = polling;
  const mine = (async () => {
    await before?.catch(() => {});
    if (token) await poll();
  })();
  polling = mine;
  try {
    await mine;
    connect("Connected", "good");
    showProblem("");
  } catch (error) {
    if (error instanceof Refused && [401, 403].includes(error.status)) {
      connect("Not authorized", "bad");
      if (token) askForToken("The emulator does not accept this token.");
      token = "";
    } else {
      connect("No connection", "bad");
      showProblem(
        error instanceof Refused ? error.message : "The emulator does not respond. Trying again every second.",
      );
      lastRequest = 0;
      connected = false;
    }
  } finally {
    if (polling === mine) polling = null;
  }
}

function connect(text, kind) {
  const shown = token || kind === "bad" ? text : "No token";
  if ($("connection").textContent !== shown) $("connection").textContent = shown;
  $("connection").dataset.state = token ? kind : "bad";
}

async function poll() {
  const [newState, newFaults, news] = await Promise.all([
    admin("GET", "state"),
    admin("GET", "faults"),
    admin("GET", `requests?after=${lastRequest}`),
  ]);
  if (!connected) {
    clockRuns = (await admin("GET", "clock")).running;
    requests = [];
    showAllRequests();
    connected = true;
  }
  state = newState;
  faults = newFaults.faults;
  state.resources.forEach((each) => remember({ ...each, ...each.resource }));
  takeRequests(news.requests);
  // Another emulator on this port counts from 1 again.
  quietPolls = news.requests.length ? 0 : quietPolls + 1;
  if (quietPolls && quietPolls % 5 === 0 && lastRequest) {
    const newest = (await admin("GET", "requests?limit=1")).requests;
    if (newest.length && newest[0].id < lastRequest) {
      lastRequest = 0;
      connected = false;
    }
  }
  render();
}

async function loop() {
  clearTimeout(timer);
  if (document.visibilityState === "visible" && token) await refresh();
  timer = setTimeout(loop, POLL_MS);
}

// ---- Resources ----

function render() {
  const gateways = of("gateway");
  const deployments = of("deployment");
  const known = new Set(gateways.map((each) => each.spec.id));
  const orphans = deployments.filter((each) => !(each.spec.gatewayIds || []).some((id) => known.has(id)));
  const cards = gateways.map((each) =>
    gatewayCard(
      each,
      deployments.filter((other) => (other.spec.gatewayIds || []).includes(each.spec.id)),
    ),
  );
  if (orphans.length)
    cards.push(
      h(
        "section",
        { class: "card", "data-key": "orphans" },
        h("h3", {}, "Deployments without a gateway"),
        deploymentList("none", orphans),
      ),
    );
  setChildren($("gateways"), ...(cards.length ? cards : [emptyResources()]));
  setChildren($("claim-list"), simpleList(of("capacity_claim"), claimFacts, "No capacity claims."));
  setChildren($("hot-load-list"), simpleList(of("hot_load"), hotLoadFacts, "No hot-loads."));
  renderFaults();
  renderFates();
  renderClock();
  renderTargets(gateways, deployments);
  $("count-gateways").textContent = gateways.length || "";
  $("count-claims").textContent = of("capacity_claim").length || "";
  $("count-hot-loads").textContent = of("hot_load").length || "";
  $("count-faults").textContent = faults.length + Object.keys(state.fates).length || "";
}

function emptyResources() {
  return h(
    "div",
    { class: "card welcome" },
    h("h3", {}, "No gateways yet"),
    h(
      "p",
      {},
      "Clients ask a gateway for completions; the deployments behind it run the models. ",
      "Create one here, or with any client of the API.",
    ),
    button("Create a gateway", "open-gateway", { class: "primary" }),
  );
}

const titleId = (prefix, each) => `${prefix}-${each.spec.id}`;

function headOf(level, each, id, ...actions) {
  return h(
    "header",
    { class: "card-head" },
    h("span", { class: "card-title" }, h(level, { id }, nameOf(each)), badge(stateOf(each)), fateChip(each)),
    h("span", { class: "card-actions" }, actions),
  );
}

function fateChip(each) {
  const fate = fateOf(each);
  return fate ? h("span", { class: "chip" }, `fate: ${fate.status}`) : null;
}

function changeButtons(each) {
  const data = { "data-kind": each.kind, "data-id": each.spec.id };
  const name = nameOf(each);
  const failed = ["ERROR", "FAILED"].includes(stateOf(each));
  const out =
    failed || fateOf(each)
      ? button("Repair", "repair", { ...data, "aria-label": `Repair ${name}` })
      : button("Break", "break", { ...data, "aria-label": `Break ${name}`, title: "A fate: it becomes ERROR" });
  return [out, button("Delete", "open-delete", { ...data, class: "quiet-danger", "aria-label": `Delete ${name}` })];
}

function routingText(spec) {
  if (spec.headerBasedRouting) return `by the header ${spec.headerBasedRouting.headerName}`;
  return spec.pathBasedRouting ? "by the path" : "by the body";
}

function gatewayCard(each, deployments) {
  const { spec, status = {} } = each;
  const id = titleId("gateway", each);
  const add = button("New deployment", "open-deployment", {
    "data-id": spec.id,
    "aria-label": `New deployment on ${nameOf(each)}`,
  });
  return h(
    "article",
    { class: "card", "data-key": spec.id, "aria-labelledby": id },
    headOf("h3", each, id, add, changeButtons(each)),
    facts(
      ["Zones", (spec.zones || []).join(", ")],
      ["Models", routingText(spec)],
      ["Tokens", spec.weightsAndBiasesAuth ? "Weights & Biases" : "CoreWeave"],
      ["Endpoint", (status.endpoints || []).length ? h("code", {}, status.endpoints.join(" ")) : ""],
    ),
    inside(each, "gateway"),
    deployments.length ? deploymentList(spec.id, deployments) : h("p", { class: "empty" }, "No deployments."),
  );
}

function deploymentList(gateway, deployments) {
  const serving = deployments.filter((each) => !each.spec.disabled && ["READY", "UPDATING"].includes(stateOf(each)));
  const list = h("ul", { class: "deployments" });
  for (const each of deployments) {
    const rivals = serving.filter((other) => other.spec.model.name === each.spec.model.name);
    list.append(deploymentItem(gateway, each, rivals));
  }
  return list;
}

function shareOf(each, rivals) {
  if (!rivals.some((other) => other.spec.id === each.spec.id)) return 0;
  const weights = rivals.map((other) => (other.spec.traffic || {}).weight || 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return total ? ((each.spec.traffic || {}).weight || 0) / total : 1 / rivals.length;
}

function deploymentItem(gateway, each, rivals) {
  const { spec } = each;
  const weight = (spec.traffic || {}).weight || 0;
  const share = Math.round(shareOf(each, rivals) * 100);
  const id = `${gateway}-${spec.id}`;
  const scaling = spec.autoscaling || {};
  const instances = `${spec.resources.gpuCount} GPUs each, ${spec.resources.instanceType}`;
  return h(
    "li",
    { "data-key": spec.id, "aria-labelledby": id },
    headOf(
      "h4",
      each,
      id,
      button("Weight", "open-weight", { "data-id": spec.id, "aria-label": `Weight of ${nameOf(each)}` }),
      changeButtons(each),
    ),
    h(
      "p",
      { class: "weight" },
      h(
        "span",
        {
          class: "meter",
          role: "meter",
          "aria-valuemin": 0,
          "aria-valuemax": 100,
          "aria-valuenow": share,
          "aria-label": `Share of the requests for ${spec.model.name}`,
        },
        h(
          "svg",
          { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
          h("rect", { width: share, height: 1 }),
        ),
      ),
      h("span", {}, `weight ${weight}, ${share}% of ${spec.model.name}`),
    ),
    facts(
      ["Engine", `${spec.runtime.engine} ${spec.runtime.version}`],
      ["Replicas", `${scaling.min || 0} to ${scaling.max || 0}, ${instances}`],
      ["Traffic", spec.disabled ? "disabled" : ""],
    ),
    inside(each, `deployment-${gateway}`),
  );
}

/** Returns a resource's plan, conditions and history, folded up. */
function inside(each, prefix) {
  const conditions = (each.status || {}).conditions || [];
  const history = (histories.get(each.spec.id) || { entries: [] }).entries;
  const steps = (each.plan || []).map(({ step, in_seconds: left }) => `${step} in ${Math.max(0, left).toFixed(1)} s`);
  const failed = conditions.find((condition) => condition.status === "STATUS_FALSE" && condition.message);
  const showFailure = failed && ["ERROR", "FAILED"].includes(stateOf(each));
  return h(
    "div",
    { class: "inside", "data-key": `${prefix}-inside` },
    showFailure ? h("p", { class: "failure" }, `${failed.reason}: ${failed.message}`) : null,
    h(
      "details",
      { "data-key": `${prefix}-details` },
      h("summary", {}, "Conditions and history", h("span", { class: "visually-hidden" }, ` of ${nameOf(each)}`)),
      steps.length ? h("p", { class: "muted" }, `Next: ${steps.join(", ")}`) : null,
      conditions.length ? conditionTable(conditions) : h("p", { class: "muted" }, "No conditions yet."),
      h(
        "ol",
        { class: "history", "aria-label": "History, newest first" },
        history.map(([at, text]) =>
          h("li", { "data-key": `${at} ${text}` }, h("time", { datetime: at }, clockTime(at)), ` ${text}`),
        ),
      ),
      h("p", { class: "muted id" }, each.spec.id),
    ),
  );
}

function conditionTable(conditions) {
  const rows = conditions.map((each) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, each.type),
      h("td", {}, each.status === "STATUS_TRUE" ? "✓ true" : `✕ ${truth(each.status)}`),
      h("td", {}, [each.reason, each.message].filter(Boolean).join(": ")),
      h("td", {}, each.zone || ""),
      h("td", {}, clockTime(each.lastUpdateTime)),
    ),
  );
  const head = ["Condition", "Status", "Reason", "Zone", "Since"].map((each) => h("th", { scope: "col" }, each));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Conditions" },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)),
  );
}

function simpleList(resources, factsOf, none) {
  if (!resources.length) return h("p", { class: "empty" }, none);
  return h(
    "ul",
    { class: "cards" },
    resources.map((each) => {
      const id = titleId(each.kind, each);
      const actions = each.kind === "capacity_claim" ? changeButtons(each) : [];
      return h(
        "li",
        { class: "card", "data-key": each.spec.id, "aria-labelledby": id },
        headOf("h3", each, id, actions),
        factsOf(each),
        inside(each, each.kind),
      );
    }),
  );
}

function claimFacts({ spec, status = {} }) {
  const wanted = spec.resources || {};
  return facts(
    ["Instances", `${wanted.instanceCount} × ${wanted.instanceId}`],
    ["Zones", (wanted.zones || []).join(", ")],
    ["Allocated", `${status.allocatedInstances || 0}, pending ${status.pendingInstances || 0}`],
  );
}

function hotLoadFacts({ spec }) {
  const deployment = of("deployment").find((each) => each.spec.id === spec.deploymentId);
  return facts(
    ["Deployment", deployment ? nameOf(deployment) : spec.deploymentId],
    [
      "Snapshot",
      String(spec.type || "")
        .replace("SNAPSHOT_TYPE_", "")
        .toLowerCase(),
    ],
  );
}

// ---- Faults, fates, clock ----

function switchRow(key, on, name, text, kind) {
  const input = h("input", { type: "checkbox", role: "switch", "data-switch": kind, "data-name": key, checked: on });
  input.checked = on;
  return h(
    "li",
    { "data-key": `${kind}-${key}-${on}` },
    h("label", { class: "switch" }, input, h("span", { class: "switch-text" }, h("strong", {}, name), ` ${text}`)),
    h("span", { class: "muted switch-state" }, on ? "on" : "off"),
  );
}

function faultText(fault) {
  const target = fault.method || (fault.deployment ? `completions of ${fault.deployment}` : fault.path || "every call");
  const options = ["code", "status", "seconds", "when", "size"]
    .filter((each) => each in fault)
    .map((each) => `${each} ${fault[each]}`);
  if (fault.probability < 1) options.push(`${Math.round(fault.probability * 1000) / 10}% of them`);
  if (fault.times) options.push(`at most ${plural(fault.times, "time")}`);
  if (fault.nth) options.push(`call ${[].concat(fault.nth).join(", ")}`);
  return [target, ...options].join(", ");
}

function renderFaults() {
  const rows = faults.map((each) =>
    switchRow(each.id, true, each.kind, `${faultText(each)}; happened ${plural(each.happened, "time")}`, "fault"),
  );
  switchedOff.faults.forEach((each, index) =>
    rows.push(switchRow(`off-${index}`, false, each.kind, faultText(each), "fault")),
  );
  setChildren(
    $("fault-list"),
    rows.length ? h("ul", { class: "switches" }, rows) : h("p", { class: "empty" }, "No faults."),
  );
}

function fateText(fate) {
  const later = fate.strikes_after ? `when it has been READY for ${fate.strikes_after} s` : "as soon as it is READY";
  const when = fate.strikes_after === null || fate.strikes_after === undefined ? "instead of READY" : later;
  return `becomes ${fate.status} ${when}${fate.recovers_after ? `, recovers after ${fate.recovers_after} s` : ""}`;
}

/** Returns the name of what a fate is for: fates can have ids for keys, too. */
function fateName(key) {
  const found = state.resources.find((each) => each.resource.spec.id === key);
  return found ? nameOf(found.resource) : key;
}

function renderFates() {
  for (const name of Object.keys(state.fates)) delete switchedOff.fates[name];
  const rows = Object.entries(state.fates).map(([name, fate]) =>
    switchRow(name, true, fateName(name), fateText(fate), "fate"),
  );
  for (const [name, fate] of Object.entries(switchedOff.fates))
    rows.push(switchRow(name, false, fateName(name), fateText(fate), "fate"));
  setChildren(
    $("fate-list"),
    rows.length ? h("ul", { class: "switches" }, rows) : h("p", { class: "empty" }, "No fates."),
  );
}

/** Switches a fault or a fate off or on, and returns the name that its switch has then. */
async function toggle({ checked, dataset: { switch: kind, name } }) {
  if (kind === "fate") {
    const fate = checked ? switchedOff.fates[name] : null;
    if (!checked) switchedOff.fates[name] = state.fates[name];
    await admin("PUT", `fates/${encodeURIComponent(name)}`, fate);
    return name;
  }
  if (checked) {
    const index = Number(name.slice("off-".length));
    const added = await admin("POST", "faults", switchedOff.faults[index]);
    switchedOff.faults.splice(index, 1);
    return added.id;
  }
  const { id, happened, ...fault } = faults.find((each) => each.id === name);
  await admin("DELETE", `faults/${id}`);
  return `off-${switchedOff.faults.push(fault) - 1}`;
}

async function operateSwitch(input) {
  try {
    const name = await toggle(input);
    await refresh();
    // Its row is another one now.
    document.querySelector(`[data-switch="${input.dataset.switch}"][data-name="${CSS.escape(name)}"]`)?.focus();
  } catch (error) {
    input.checked = !input.checked;
    throw error;
  }
}

function renderClock() {
  $("clock-time").textContent = clockTime(state.now);
  $("clock-state").textContent = clockRuns ? "UTC, running" : "UTC, stopped";
  $("advance-form").hidden = clockRuns;
}

// ---- Requests ----

function takeRequests(news) {
  if (!news.length) return;
  lastRequest = news[news.length - 1].id;
  requests = [...requests, ...news].slice(-KEPT_REQUESTS);
  if (!paused) showRequests(news);
  $("count-requests").textContent = requests.length;
}

const matches = (each, text) =>
  !text || [each.protocol, each.method, each.code, each.path, each.verb].join(" ").toLowerCase().includes(text);

function showRequests(news) {
  const filter = $("request-filter").value.trim().toLowerCase();
  const list = $("request-list");
  const rows = news
    .filter((each) => matches(each, filter))
    .slice(-SHOWN_REQUESTS)
    .map(requestRow)
    .reverse();
  list.prepend(...rows);
  while (list.children.length > SHOWN_REQUESTS) list.lastChild.remove();
  $("no-requests").hidden = list.children.length > 0;
  $("no-requests").textContent = requests.length ? "No requests match." : "No requests yet.";
}

function showAllRequests() {
  $("request-list").replaceChildren();
  showRequests(requests);
}

function requestRow(each) {
  const good = each.code === "ok";
  const body = h("div", { class: "request-body" });
  const details = h(
    "details",
    {},
    h(
      "summary",
      {},
      h("time", { datetime: each.at }, clockTime(each.at)),
      h("span", { class: "protocol" }, each.protocol),
      h("span", { class: "method" }, each.method || each.path),
      h("span", { class: `code ${good ? "good" : "bad"}` }, `${good ? "✓" : "✕"} ${each.code || "none"}`),
      h(
        "span",
        { class: "number" },
        each.ms < 10 ? each.ms.toFixed(1) : String(Math.round(each.ms)),
        h("span", { class: "visually-hidden" }, " milliseconds"),
      ),
    ),
    body,
  );
  // Filled when it is opened: a thousand requests cost little then.
  details.addEventListener("toggle", () => body.children.length || body.append(...requestParts(each)), { once: true });
  return h("li", {}, details);
}

function requestParts(each) {
  const headers = Object.entries(each.headers).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value)),
  );
  const parts = [
    h(
      "p",
      { class: "request-line" },
      `${each.verb} ${each.path}${each.status ? `, HTTP ${each.status}` : ", no response"}`,
    ),
    h("h3", {}, "Headers"),
    h("dl", { class: "headers" }, headers),
  ];
  for (const [title, text] of [
    ["Request", each.request],
    ["Response", each.response],
  ]) {
    parts.push(
      h("h3", {}, title),
      text === null
        ? h("p", { class: "muted" }, "Empty, or not text.")
        : h("pre", { tabindex: "0", "aria-label": title }, pretty(text)),
    );
  }
  return parts;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// ---- Chat ----

function renderTargets(gateways, deployments) {
  const targets = [];
  for (const gateway of gateways) {
    const models = new Set(
      deployments
        .filter((each) => (each.spec.gatewayIds || []).includes(gateway.spec.id))
        .map((each) => each.spec.model.name),
    );
    for (const model of models)
      targets.push([JSON.stringify([gateway.spec.id, model]), `${model} at ${nameOf(gateway)}`]);
  }
  setOptions($("chat-target"), targets.length ? targets : [["", "No deployment yet"]]);
}

/** Returns the path below this page, the headers and the body by which a gateway finds a model. */
function completionRequest() {
  const [id, model] = JSON.parse($("chat-target").value);
  const { spec } = of("gateway").find((each) => each.spec.id === id);
  const headers = spec.headerBasedRouting ? { [spec.headerBasedRouting.headerName]: model } : {};
  const place = spec.pathBasedRouting ? `${encodeURIComponent(model)}/v1` : "v1";
  const messages = conversation.filter((each) => !each.failed).map(({ role, content }) => ({ role, content }));
  return { path: `gateway/${id}/${place}/chat/completions`, headers, body: { model, messages, stream: true } };
}

function addMessage(role, content) {
  const message = { role, content, failed: false };
  conversation.push(message);
  const text = h("p", { class: "message-text" }, content);
  const note = h("p", { class: "message-note muted" });
  const element = h(
    "div",
    { class: `message ${role}` },
    h("p", { class: "message-role" }, role === "user" ? "You" : "Model"),
    text,
    note,
  );
  if (conversation.length === 1) $("messages").replaceChildren();
  $("messages").append(element);
  scrollDown();
  return { message, element, text, note };
}

function scrollDown() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

async function chat(text) {
  addMessage("user", text);
  const { path, headers, body } = completionRequest();
  const reply = addMessage("assistant", "");
  generation = new AbortController();
  $("chat-send").textContent = "Stop";
  $("messages").setAttribute("aria-busy", "true"); // read out when it is complete
  const started = performance.now();
  try {
    const response = await fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      signal: generation.signal,
      credentials: "omit",
      redirect: "error",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    });
    if (!response.ok) await read(response);
    await readEvents(response, (piece) => {
      reply.message.content += piece;
      reply.text.textContent = reply.message.content;
      scrollDown();
    });
    reply.note.textContent = noteOf(response, performance.now() - started);
  } catch (error) {
    reply.message.failed = true;
    const stopped = error.name === "AbortError";
    if (!stopped) reply.element.classList.add("failed");
    reply.note.textContent = stopped ? "Stopped" : `Failed: ${error.message}`;
  } finally {
    generation = null;
    $("chat-send").textContent = "Send";
    $("messages").setAttribute("aria-busy", "false");
    scrollDown();
  }
}

function noteOf(response, ms) {
  const id = response.headers.get("x-emulator-deployment");
  const deployment = of("deployment").find((each) => each.spec.id === id);
  return `${deployment ? `${nameOf(deployment)}, ` : ""}${Math.round(ms)} ms`;
}

/** Reads a stream of events, and passes on the pieces of text in them. */
async function readEvents(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended early");
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines.filter((each) => each.startsWith("data:"))) {
      const data = line.slice("data:".length).trim();
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      const piece = ((event.choices || [])[0] || {}).delta?.content;
      if (piece) take(piece);
    }
  }
}

// ---- Dialogs ----

let opened = {};

function openDialog(name, about = {}) {
  opened = about;
  const dialog = $(`${name}-dialog`);
  showFormError(dialog, "");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("input:not([hidden]), select, button")?.focus();
}

function showFormError(dialog, text) {
  const place = dialog.querySelector(".form-error");
  place.textContent = text;
  place.hidden = !text;
}

function askForToken(problem = "") {
  if ($("token-dialog").open) return;
  openDialog("token");
  showFormError($("token-dialog"), problem);
}

const find = (kind, id) => of(kind).find((each) => each.spec.id === id);

async function openGateway() {
  const { zones } = await call("GatewayService/GetGatewayParameters", {});
  $("gateway-zones").replaceChildren(
    ...zones.map((zone, index) => {
      const box = h("input", { type: "checkbox", value: zone });
      box.checked = index === 0;
      return h("label", { class: "check" }, box, ` ${zone}`);
    }),
  );
  $("gateway-name").value = freeName("gateway", of("gateway"));
  openDialog("gateway");
}

async function openDeployment(gateway) {
  const parameters = await call("DeploymentService/GetDeploymentParameters", { gatewayIds: [] });
  const runtimes = Object.entries((parameters.runtimeParameters || {}).runtimeVersions || {});
  const engines = runtimes.flatMap(([engine, { versions }]) =>
    versions.map((version) => [JSON.stringify({ engine, version }), `${engine} ${version}`]),
  );
  setOptions($("deployment-engine"), engines.reverse());
  setOptions(
    $("deployment-instance"),
    (parameters.resourceParameters?.instanceTypes || []).map((each) => [each, each]),
  );
  setOptions(
    $("deployment-gateway"),
    of("gateway").map((each) => [each.spec.id, nameOf(each)]),
  );
  $("deployment-gateway").value = gateway;
  $("deployment-name").value = freeName("deployment", of("deployment"));
  openDialog("deployment");
  $("deployment-name").focus();
}

function freeName(word, others) {
  const taken = new Set(others.map(nameOf));
  let number = others.length + 1;
  while (taken.has(`${word}-${number}`)) number += 1;
  return `${word}-${number}`;
}

function showFaultOptions() {
  for (const each of document.querySelectorAll("#fault-form [data-for]"))
    each.hidden = !each.dataset.for.split(" ").includes($("fault-kind").value);
}

function showFateOptions() {
  for (const each of document.querySelectorAll("#fate-form [data-when]"))
    each.hidden = each.dataset.when !== $("fate-when").value;
  for (const each of document.querySelectorAll("#fate-form [data-status]"))
    each.hidden = each.dataset.status !== $("fate-status").value;
}

const METHODS = ["Gateway", "Deployment", "CapacityClaim"]
  .flatMap((each) => [
    `List${each}s`,
    `Get${each}`,
    `Get${each}Parameters`,
    `Create${each}`,
    `Update${each}`,
    `Delete${each}`,
  ])
  .concat(["ListHotLoads", "GetHotLoad", "CreateHotLoad", "CancelHotLoad", "ListHotLoadReplicas"]);

function openFault() {
  const models = of("deployment").map((each) => [
    JSON.stringify({ deployment: nameOf(each) }),
    `completions of ${nameOf(each)}`,
  ]);
  const methods = METHODS.map((method) => [JSON.stringify({ method }), method]);
  setOptions($("fault-target"), [
    ['{"path":"/gateway/*"}', "all completions"],
    ...models,
    ['{"path":"*"}', "every call"],
    ...methods,
  ]);
  showFaultOptions();
  openDialog("fault");
}

function openFate() {
  const names = [...new Set(state.resources.map((each) => nameOf(each.resource)))];
  $("fate-names").replaceChildren(...names.map((value) => h("option", { value })));
  showFateOptions();
  openDialog("fate");
}

const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));

const SUBMIT = {
  async token() {
    // Checked at once, so that a mistake is shown where it was made.
    const before = token;
    token = $("token-text").value.trim();
    try {
      await admin("GET", "clock");
    } catch (error) {
      token = before;
      throw error instanceof Refused && [401, 403].includes(error.status)
        ? new Error("The emulator does not accept this token.")
        : error;
    }
    keepToken();
    $("token-text").value = "";
  },
  async reset() {
    await admin("POST", "reset", { keep_seed: $("reset-seed").checked });
    Object.assign(switchedOff, { faults: [], fates: Object.create(null) });
    histories.clear();
    requests = [];
    $("count-requests").textContent = "";
    showAllRequests();
  },
  async delete() {
    const message = MESSAGES[opened.kind];
    await call(`${message}Service/Delete${message}`, { id: opened.id });
    announce(`${opened.name} is being deleted`);
  },
  async gateway() {
    const routing = {
      body: { bodyBasedRouting: { apiType: "API_TYPE_OPENAI" } },
      header: { headerBasedRouting: { headerName: $("gateway-header").value } },
      path: { pathBasedRouting: {} },
    };
    const zones = [...document.querySelectorAll("#gateway-zones input:checked")].map((each) => each.value);
    await call("GatewayService/CreateGateway", {
      name: $("gateway-name").value,
      zones,
      coreWeaveAuth: {},
      ...routing[$("gateway-routing").value],
    });
  },
  async deployment() {
    await call("DeploymentService/CreateDeployment", {
      name: $("deployment-name").value,
      gatewayIds: [$("deployment-gateway").value],
      runtime: JSON.parse($("deployment-engine").value || "{}"),
      resources: { instanceType: $("deployment-instance").value, gpuCount: number("deployment-gpus") },
      model: {
        name: $("deployment-model").value,
        bucket: $("deployment-bucket").value,
        path: $("deployment-path").value,
      },
      autoscaling: { min: number("deployment-min"), max: number("deployment-max") },
      traffic: { weight: number("deployment-weight") },
    });
  },
  async weight() {
    await update("deployment", opened.id, { traffic: { weight: number("weight-number") } });
  },
  async fault() {
    const kind = $("fault-kind").value;
    const options =
      {
        error: { code: $("fault-code").value },
        page: { status: number("fault-status") },
        cut: { when: $("fault-when").value },
      }[kind] || (["delay", "latency", "drip", "skew"].includes(kind) ? { seconds: number("fault-seconds") } : {});
    await admin("POST", "faults", {
      kind,
      ...JSON.parse($("fault-target").value),
      ...options,
      probability: number("fault-probability") / 100,
      times: number("fault-times"),
    });
  },
  async fate() {
    const later = $("fate-when").value === "later";
    const status = $("fate-status").value;
    const fate = {
      status,
      strikes_after: later ? (number("fate-strikes") ?? 0) : null,
      recovers_after: status === "ERROR" ? (number("fate-recovers") ?? null) : null,
    };
    await admin("PUT", `fates/${encodeURIComponent($("fate-name").value)}`, fate);
  },
};

/** Updates a resource: its spec as it is, with changes. */
async function update(kind, id, changes = {}) {
  const { organizationId, ...spec } = find(kind, id).spec;
  const { name, ...unnamed } = spec;
  const message = MESSAGES[kind];
  await call(`${message}Service/Update${message}`, { ...(kind === "capacity_claim" ? unnamed : spec), ...changes });
}

async function submit(form) {
  const name = form.id.replace(/-form$/, "");
  const dialog = form.closest("dialog");
  try {
    await SUBMIT[name]();
    dialog.close();
    await refresh();
  } catch (error) {
    showFormError(dialog, error.message);
  }
}

// ---- Actions ----

const ACTIONS = {
  "open-token": () => openDialog("token"),
  "open-reset": () => openDialog("reset"),
  "open-gateway": openGateway,
  "open-deployment": ({ id }) => openDeployment(id),
  "open-fault": openFault,
  "open-fate": openFate,
  "open-weight"({ id }) {
    const each = find("deployment", id);
    $("weight-title").textContent = `Traffic weight of ${nameOf(each)}`;
    $("weight-number").value = (each.spec.traffic || {}).weight || 0;
    openDialog("weight", { id });
  },
  "open-delete"({ kind, id }) {
    const name = nameOf(find(kind, id));
    $("delete-title").textContent = `Delete ${name}?`;
    $("delete-text").textContent =
      kind === "gateway"
        ? "Its URL will stop responding. It must have no deployments."
        : "This cannot be undone.";
    openDialog("delete", { kind, id, name });
  },
  async break({ kind, id }) {
    await admin("PUT", `fates/${encodeURIComponent(id)}`, { status: "ERROR", strikes_after: 0 });
    await refresh();
  },
  async repair({ kind, id }) {
    const each = find(kind, id);
    for (const key of fateKeys(each)) await admin("PUT", `fates/${encodeURIComponent(key)}`, null);
    if (["ERROR", "FAILED"].includes(stateOf(each))) await update(kind, id);
    await refresh();
  },
  "clear-chat"() {
    generation?.abort();
    conversation.splice(0);
    $("messages").replaceChildren(h("p", { class: "empty" }, "Choose a model and say something."));
  },
  pause() {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    if (!paused) showAllRequests();
  },
  dismiss: () => ($("notice").hidden = true),
  close: (data, target) => target.closest("dialog").close(),
};

/** Does something, and shows on the page what went wrong with it. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    $("notice-text").textContent = error.message;
    $("notice").hidden = false;
  }
}

function keepToken() {
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // Storage is off in this browser: the token lasts until the page is loaded again.
  }
}

/** Takes the token from the URL, and out of it, or from where this tab kept it. */
function takeToken() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      token = decodeURIComponent(given[1]);
    } catch {
      token = "";
    }
    keepToken();
    return;
  }
  try {
    token = token || sessionStorage.getItem("token") || "";
  } catch {
    token = token || "";
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-action]");
  if (target) attempt(() => ACTIONS[target.dataset.action](target.dataset, target));
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "chat-form") sendChat();
  else if (event.target.id === "advance-form")
    attempt(async () => {
      await admin("POST", "clock", { advance: number("advance-seconds") });
      await refresh();
      announce(`The clock is at ${$("clock-time").textContent}`);
    });
  else submit(event.target);
});
document.addEventListener("change", (event) => {
  if (event.target.dataset.switch) attempt(() => operateSwitch(event.target));
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && loop());
window.addEventListener("hashchange", () => location.hash.startsWith("#token=") && (takeToken(), loop()));

function sendChat() {
  const text = $("chat-text").value.trim();
  if (generation) generation.abort();
  else if (text)
    attempt(async () => {
      if (!$("chat-target").value) throw new Error("Create a deployment first.");
      $("chat-text").value = "";
      await chat(text);
    });
}

$("chat-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!generation) sendChat();
  }
});
$("request-filter").addEventListener("input", showAllRequests);
$("gateway-routing").addEventListener(
  "change",
  () => ($("gateway-header-row").hidden = $("gateway-routing").value !== "header"),
);
$("fault-kind").addEventListener("change", showFaultOptions);
$("fate-when").addEventListener("change", showFateOptions);
$("fate-status").addEventListener("change", showFateOptions);

takeToken();
if (!token) {
  connect("No token", "bad");
  askForToken();
}
loop();
