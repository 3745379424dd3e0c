// Verdicts: this browser's, else those that the run's own table holds. Keyed by the run, since pages opened from disk
// may share one storage, and by its events, since another threshold makes other events. Each is kept with what the
// table held when it was given: where the table has changed since, somebody has decided there, and the table counts.
// Other tabs on the same run write there too, so that each verdict is read and written on its own.
const VERDICTS = { accept: "Accept", reject: "Reject", unsure: "Unsure" };
const storageKey = `vidconcept/${run.run_id}/${run.events_digest}`;
const written = new Map(run.events.map((event) => [event.id, event.verdict]));
const verdicts = new Map(written);

// Those that a download has told of: taken back after it, they must be told of once more.
const sent = new Map();

function readKept() { return JSON.parse(localStorage.getItem(storageKey) ?? "{}"); }

function loadVerdicts() {
  try {
    const kept = readKept();
    for (const [id, over] of written) {
      const own = kept[id]?.over === over && (kept[id].verdict === "" || kept[id].verdict in VERDICTS) ? kept[id] : {};
      verdicts.set(id, own.verdict ?? over);
      if (own.sent in VERDICTS || own.sent === "") sent.set(id, own.sent);
    }
  } catch {
    warn("This browser keeps nothing for pages opened from disk: download the verdicts before you close the page.");
  }
}

function keepVerdicts(ids) {
  try {
    const kept = readKept();
    for (const id of ids) kept[id] = { verdict: verdicts.get(id), over: written.get(id), sent: sent.get(id) };
    localStorage.setItem(storageKey, JSON.stringify(kept));
  } catch {
    warn("This browser cannot keep the verdicts: download them before you close the page.");
  }
}

function setVerdict(id, verdict) {
  verdicts.set(id, verdicts.get(id) === verdict ? "" : verdict);
  keepVerdicts([id]);
}

// Calls `onChange` with the events that were judged in another tab.
function listenForVerdicts(onChange) {
  addEventListener("storage", (change) => {
    if (change.key !== storageKey) return;
    const before = new Map(verdicts);
    loadVerdicts();
    onChange(run.events.filter((event) => verdicts.get(event.id) !== before.get(event.id)));
  });
}

function csvCell(value) {
  let text = String(value);
  if (/^[=+\-@\t\r\n']/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// A row that says the same before and after was not judged here, and `review --apply` leaves it alone.
function verdictBefore(id) {
  return verdicts.get(id) === written.get(id) ? sent.get(id) ?? written.get(id) : written.get(id);
}

function verdictsCsv() {
  const head = ["run_id", "event_id", "tracker_id", "concept", "start_frame", "start_s", "end_s", "verdict", "verdict_before"];
  const rows = run.events.map((event) => [
    run.run_id, event.id, event.tracker_id, run.concepts[event.concept].name, event.start_frame, event.start_s.toFixed(6),
    event.end_s.toFixed(6), verdicts.get(event.id), verdictBefore(event.id),
  ]);
  return [head, ...rows].map((row) => row.map(csvCell).join(",") + "\n").join("");
}

function downloadVerdicts() {
  const url = URL.createObjectURL(new Blob([verdictsCsv()], { type: "text/csv" }));
  element("a", { href: url, download: `${run.video.replace(/\.[^.]*$/, "")}.verdicts.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  const told = run.events.map((event) => event.id).filter((id) => verdicts.get(id) !== written.get(id));
  for (const id of told) sent.set(id, verdicts.get(id));
  keepVerdicts(told);
  say("Verdicts downloaded");
}
