// Puts the page together and hands the keys out.
function toggleLoop() {
  if (!player.looped && !selection.event) stepEvent(1);
  player.looped = player.looped ? null : selection.event;
  $("loop").setAttribute("aria-pressed", String(Boolean(player.looped)));
  say(player.looped ? "Loop on" : "Loop off");
  if (player.looped) { seekToTime(player.looped.start_s); if (video.paused) togglePlay(); }
}

const KEYS = {
  " ": togglePlay, ",": () => stepFrames(-1), ".": () => stepFrames(1), n: () => stepEvent(1), p: () => stepEvent(-1),
  a: () => judge("accept"), r: () => judge("reject"), u: () => judge("unsure"), l: toggleLoop, "?": () => $("help").showModal(),
};

// Whether the focus was moved by keyboard last. Then a list keeps its keys; after a click they belong to the page.
let focusedByKeys = true;

function watchFocus() {
  document.addEventListener("pointerdown", () => { focusedByKeys = false; });
  document.addEventListener("keydown", (press) => { if (press.key === "Tab") focusedByKeys = true; });
  // Before the control acts: a row that it takes away would hand the focus on.
  document.addEventListener("click", (click) => { if (click.detail > 0) click.target.closest("button, summary")?.blur(); }, true);
  document.addEventListener("change", (change) => { if (!focusedByKeys && change.target.matches("select")) change.target.blur(); });
}

function onKey(press) {
  if (press.ctrlKey || press.metaKey || press.altKey || $("help").open) return;
  const target = press.target;
  if ((target.matches("select") && focusedByKeys) || (press.key === " " && target.matches("button, summary"))) return;
  const concept = /^[1-9]$/.test(press.key) ? Number(press.key) - 1 : -1;
  const action = concept >= 0 ? () => toggleConcept(concept) : KEYS[press.key.toLowerCase()];
  if (!action) return;
  press.preventDefault();
  action();
}

function start() {
  $("name").textContent = run.video;
  $("name").title = run.video;
  $("summary").textContent = run.summary;
  if (run.notice) warn(run.notice);
  if (run.remarks.length) {
    $("remarks").hidden = false;
    $("remarks").querySelector("summary").textContent = `About the source: ${run.remarks.length === 1 ? "one remark" : `${run.remarks.length} remarks`}`;
    for (const remark of run.remarks) {
      const item = document.createElement("li");
      item.textContent = remark;
      $("remarks").querySelector("ul").append(item);
    }
  }
  loadVerdicts();
  startPlayer();
  startStrips();
  startTable();
  for (const [id, action] of [["play", togglePlay], ["frame-back", () => stepFrames(-1)], ["frame-next", () => stepFrames(1)],
    ["event-back", () => stepEvent(-1)], ["event-next", () => stepEvent(1)], ["loop", toggleLoop],
    ["download", downloadVerdicts], ["help-open", () => $("help").showModal()]]) $(id).addEventListener("click", action);
  document.addEventListener("keydown", onKey);
  watchFocus();
  show(0);
}

start();
