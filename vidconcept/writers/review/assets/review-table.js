// The event table: a native table, sorted and filtered in place. It is sorted when its reader asks for it, not at each
// verdict: rows do not jump away while somebody judges.
const COLUMNS = [
  {},
  { label: "#", key: (event) => event.id, number: true, title: "Event" },
  { label: "Concept", key: (event) => run.concepts[event.concept].name },
  { label: "Start", key: (event) => event.start_s, number: true },
  { label: "Dur. s", key: (event) => event.end_s - event.start_s, number: true, title: "Duration in seconds" },
  { label: "Peak", key: (event) => event.peak_score, number: true, title: "Peak score, 0 to 1" },
  { label: "Area", key: (event) => event.max_area_px, number: true, title: "Largest area in pixels" },
  { label: "Verdict", key: (event) => verdicts.get(event.id) },
];
const selection = { event: null };
const order = { column: 3, descending: false, events: [] };
const rows = new Map();
const inThousands = new Intl.NumberFormat("en");

function makeRow(event) {
  const name = run.concepts[event.concept].name;
  const go = element("button", { type: "button", className: "go" },
    event.thumb ? element("img", { src: event.thumb, loading: "lazy", decoding: "async", alt: "", width: 64, height: 48 })
      : element("span", { className: "none" }));
  go.setAttribute("aria-label", `Go to event ${event.id}, ${name}, at ${clock(event.start_s, 1)}`);
  const buttons = Object.entries(VERDICTS).map(([verdict, label]) => {
    const button = element("button", { type: "button", textContent: { accept: "✓", reject: "✗", unsure: "?" }[verdict], title: `${label} (${verdict[0]})` });
    button.dataset.verdict = verdict;
    button.setAttribute("aria-label", `${label} event ${event.id}`);
    button.addEventListener("click", (click) => { click.stopPropagation(); select(event, { seek: false }); judge(verdict); });
    return button;
  });
  const number = (text) => element("td", { className: "number", textContent: text });
  const row = element("tr", {},
    element("td", {}, go), number(event.id),
    element("td", {}, element("span", { className: "concept" }, swatch(event.concept), element("span", { className: "name", textContent: name, title: name }))),
    number(clock(event.start_s, event.start_s < 3600 ? 2 : 1)), number((event.end_s - event.start_s).toFixed(2)), number(event.peak_score.toFixed(2)),
    number(inThousands.format(event.max_area_px)), element("td", {}, element("span", { className: "verdicts" }, ...buttons)));
  row.addEventListener("click", () => select(event, { seek: true }));
  rows.set(event.id, { row, buttons });
}

function sortRows() {
  const key = COLUMNS[order.column].key, sign = order.descending ? -1 : 1;
  order.events = [...run.events].sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.id - b.id);
  [...$("heads").children].forEach((head, index) => {
    if (COLUMNS[index].key) head.setAttribute("aria-sort", index !== order.column ? "none" : order.descending ? "descending" : "ascending");
  });
  placeRows();
}

function isVisible(event) {
  const wanted = $("filter").value;
  return !hidden.has(event.concept) && (wanted === "all" || verdicts.get(event.id) === (wanted === "open" ? "" : wanted));
}

// Rows that stay are not touched: the table keeps its scroll position, and a long one is not laid out anew.
function placeRows() {
  const focused = document.activeElement, focusedRow = focused.closest("#rows tr"), before = focusedRow ? [...$("rows").children] : [];
  let next = $("rows").firstChild;
  for (const event of order.events) {
    const { row } = rows.get(event.id), visible = isVisible(event);
    if (row === next) next = next.nextSibling;
    else if (visible) $("rows").insertBefore(row, next);
    if (!visible) row.remove();
  }
  $("empty").hidden = $("rows").childElementCount > 0;
  $("empty").textContent = run.events.length ? "No event matches." : "No events: no concept reached its threshold for long enough.";
  if (focusedRow && !focusedRow.isConnected) focusNeighbour(focusedRow, before, [...focusedRow.querySelectorAll("button")].indexOf(focused));
}

// The same button of the row that followed, else of the row before it.
function focusNeighbour(row, before, button) {
  const at = before.indexOf(row), heir = [...before.slice(at + 1), ...before.slice(0, at).reverse()].find((other) => other.isConnected);
  (heir ? heir.querySelectorAll("button")[button] : $("filter")).focus();
}

function showProgress() {
  const judged = run.events.filter((event) => verdicts.get(event.id)).length;
  $("progress").textContent = run.events.length ? `${judged} of ${run.events.length} judged` : "";
}

function refreshVerdicts(events) {
  events.forEach(refreshRow);
  placeRows();
  showProgress();
  redrawStrips(events);
}

function refreshRow(event) {
  const { row, buttons } = rows.get(event.id), verdict = verdicts.get(event.id);
  row.classList.toggle("rejected", verdict === "reject");
  row.setAttribute("aria-selected", String(event === selection.event));
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
}

function select(event, { seek = true, scroll = false } = {}) {
  const changed = [selection.event, event].filter(Boolean);
  selection.event = event;
  if (player.looped) player.looped = event;
  changed.forEach(refreshRow);
  redrawStrips(changed);
  if (scroll) rows.get(event.id).row.scrollIntoView({ block: "nearest" });
  if (seek) seekToTime(event.start_s);
  say(`Event ${event.id}, ${run.concepts[event.concept].name}, ${clock(event.start_s, 1)}${verdicts.get(event.id) ? `, ${verdicts.get(event.id)}` : ""}`);
}

function stepEvent(step) {
  // A verdict may have taken the selected event out of the table; its neighbours are those it had there.
  const all = order.events, at = all.indexOf(selection.event);
  const ahead = step > 0 ? all.slice(at + 1) : all.slice(0, at < 0 ? all.length : at).reverse();
  const next = ahead.find(isVisible) ?? (isVisible(selection.event ?? {}) ? selection.event : all.filter(isVisible).at(step > 0 ? -1 : 0));
  if (next) select(next, { seek: true, scroll: true });
}

function judge(verdict) {
  const event = selection.event;
  if (!event) { say("No event is selected"); return; }
  if (hidden.has(event.concept)) {
    say(`Event ${event.id} is hidden: show ${run.concepts[event.concept].name} to judge it`);
    return;
  }
  setVerdict(event.id, verdict);
  refreshVerdicts([event]);
  say(`Event ${event.id}: ${verdicts.get(event.id) || "no verdict"}`);
}

function startTable() {
  COLUMNS.forEach((column, index) => {
    const head = element("th", { scope: "col", className: column.key ? (column.number ? "number" : "") : "plain" });
    if (column.key) {
      const button = element("button", { type: "button", textContent: column.label, title: `Sort by ${(column.title ?? column.label).toLowerCase()}` });
      button.addEventListener("click", () => {
        order.descending = order.column === index ? !order.descending : false;
        order.column = index;
        sortRows();
      });
      head.append(button);
    } else head.append(element("span", { className: "unseen", textContent: "Thumbnail" }));
    $("heads").append(head);
  });
  run.events.forEach(makeRow);
  run.events.forEach(refreshRow);
  sortRows();
  showProgress();
  $("filter").addEventListener("change", placeRows);
  listenForVerdicts(refreshVerdicts);
}
