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

function onKey(press) {
  if (press.ctrlKey || press.metaKey || press.altKey || $("help").open) return;
  const target = press.target;
  if (target.matches("select") || (press.key === " " && target.matches("button"))) return;
  const concept = /^[1-9]$/.test(press.key) ? Number(press.key) - 1 : -1;
  const action = concept >= 0 ? () => toggleConcept(concept) : KEYS[press.key];
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
  refreshRows();
  for (const [id, action] of [["play", togglePlay], ["frame-back", () => stepFrames(-1)], ["frame-next", () => stepFrames(1)],
    ["event-back", () => stepEvent(-1)], ["event-next", () => stepEvent(1)], ["loop", toggleLoop],
    ["download", downloadVerdicts], ["help-open", () => $("help").showModal()]]) $(id).addEventListener("click", action);
  document.addEventListener("keydown", onKey);
  // After a click the keys belong to the page again; keyboard users keep their focus.
  document.addEventListener("click", (click) => { if (click.detail > 0) click.target.closest?.("button")?.blur(); });
  show(0);
}

start();
