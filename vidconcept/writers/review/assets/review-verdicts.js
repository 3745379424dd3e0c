// Verdicts: this browser's, else those that the run's own table holds. Keyed by the run, since pages opened from disk
// may share one storage, and by its events, since another threshold makes other events. Each is kept with what the
// table held when it was given: where the table has changed since, somebody has decided there, and the table counts.
const VERDICTS = { accept: "Accept", reject: "Reject", unsure: "Unsure" };
const storageKey = `vidconcept/${run.run_id}/${run.events_digest}`;
const written = new Map(run.events.map((event) => [event.id, event.verdict]));
const verdicts = new Map(written);

function loadVerdicts() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey) ?? "{}");
    for (const [id, { verdict, over }] of Object.entries(kept))
      if (written.get(Number(id)) === over && (verdict === "" || verdict in VERDICTS)) verdicts.set(Number(id), verdict);
  } catch {
    warn("This browser keeps nothing for pages opened from disk: download the verdicts before you close the page.");
  }
}

function setVerdict(id, verdict) {
  verdicts.set(id, verdicts.get(id) === verdict ? "" : verdict);
  const own = [...verdicts].filter(([id, verdict]) => verdict !== written.get(id));
  const kept = own.map(([id, verdict]) => [id, { verdict, over: written.get(id) }]);
  try {
    localStorage.setItem(storageKey, JSON.stringify(Object.fromEntries(kept)));
  } catch {
    warn("This browser cannot keep the verdicts: download them before you close the page.");
  }
}

function csvCell(value) {
  let text = String(value);
  if (/^[=+\-@\t\r\n']/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function verdictsCsv() {
  const head = ["run_id", "event_id", "tracker_id", "concept", "start_frame", "start_s", "end_s", "verdict"];
  const rows = run.events.map((event) => [
    run.run_id, event.id, event.tracker_id, run.concepts[event.concept].name, event.start_frame, event.start_s.toFixed(6),
    event.end_s.toFixed(6), verdicts.get(event.id),
  ]);
  return [head, ...rows].map((row) => row.map(csvCell).join(",") + "\n").join("");
}

function downloadVerdicts() {
  const url = URL.createObjectURL(new Blob([verdictsCsv()], { type: "text/csv" }));
  element("a", { href: url, download: `${run.video.replace(/\.[^.]*$/, "")}.verdicts.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say("Verdicts downloaded");
}
