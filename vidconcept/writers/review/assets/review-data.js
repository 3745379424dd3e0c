// The run as it was inlined, and the table of timestamps that keeps a variable-frame-rate video in step.
const run = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

// Seconds of each picture in annotated.mp4, and in the source: holes that MP4 cannot hold are shorter in the film.
const filmTimes = (() => {
  const bytes = Uint8Array.from(atob(run.times.base64), (c) => c.charCodeAt(0));
  return Float64Array.from(new Uint32Array(bytes.buffer), (tick) => tick * run.times.tick_s);
})();
const times = filmTimes.map((film_s, position) =>
  run.times.skips.reduce((time_s, [from, skipped_s]) => time_s + (position >= from ? skipped_s : 0), run.times.first_s + film_s));

// Frame numbers as runs of equal steps: [first, step, count].
const frameNumbers = (() => {
  const numbers = new Int32Array(times.length);
  let at = 0;
  for (const [first, step, count] of run.frames) for (let i = 0; i < count; i += 1) numbers[at++] = first + i * step;
  return numbers;
})();

function positionAt(time_s, stamps = times) {
  let low = 0, high = stamps.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (stamps[middle] <= time_s) low = middle; else high = middle - 1;
  }
  return low;
}

function clock(time_s, decimals = 3) {
  // Rounded first: 59.97 s is a minute where one decimal is shown.
  const whole = Number(Math.max(0, time_s).toFixed(decimals)), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const seconds = (whole % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function say(text) { $("spoken").textContent = text; }

function warn(text) { $("notice").textContent = text; $("notice").hidden = false; }

function swatch(concept) {
  const mark = element("span", { className: "swatch" });
  mark.style.background = run.concepts[concept].colour;
  return mark;
}
