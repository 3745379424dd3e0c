// The video and where it stands. `position` counts the frames of the tables, which are the frames of the video; `wanted`
// is the one that a jump under way goes to.
const video = $("video");
const player = { position: 0, wanted: null, looped: null, listeners: [] };

function show(position) {
  if (position === player.position && player.shown) return;
  player.position = position;
  player.shown = true;
  for (const listener of player.listeners) listener(position);
}

function seekTo(position) {
  const wanted = Math.max(0, Math.min(times.length - 1, position));
  const next = wanted + 1 < filmTimes.length ? filmTimes[wanted + 1] : filmTimes[wanted] + 0.02;
  player.wanted = wanted;
  // Into the frame, not onto its edge: a browser rounds the time down to the frame before.
  video.currentTime = filmTimes[wanted] + Math.min(0.4 * (next - filmTimes[wanted]), 0.02);
  show(wanted);
}

function seekToTime(time_s) { seekTo(positionAt(time_s + 1e-4)); }

function stepFrames(count) { video.pause(); seekTo(player.position + count); }

function togglePlay() {
  if (!video.paused) video.pause();
  else video.play().catch((error) => warn(`The video does not play: ${error.message}`));
}

// Half a tick of tolerance: the video's own clock may round a timestamp down.
function positionInFilm(media_s) { return positionAt(media_s + 5e-4, filmTimes); }

function onPicture(media_s) {
  const position = positionInFilm(media_s);
  if (player.looped && !video.paused && times[position] > player.looped.end_s + 1e-4) seekToTime(player.looped.start_s);
  else show(position);
}

// A server that sends files only whole leaves a browser at the start, or where it has loaded to.
function checkLanding() {
  const landed = positionInFilm(video.currentTime), { wanted } = player;
  if (wanted === null || video.seeking) return;
  player.wanted = null;
  if (landed >= wanted) return;
  warn("The video cannot jump: this server sends files only whole. Open the page from disk, or from a server that knows byte ranges.");
  show(landed);
}

function whyNotPlayed() {
  const unsupported = video.error && video.error.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED;
  const types = { h264: 'video/mp4; codecs="avc1.640028"', "libvpx-vp9": 'video/mp4; codecs="vp09.00.40.08"' };
  if (unsupported && run.codec in types && !video.canPlayType(types[run.codec])) {
    const other = run.codec === "h264" ? "libvpx-vp9" : "h264";
    return `this browser has no decoder for ${run.codec === "h264" ? "H.264" : "VP9"}. Open the page in another browser, or track again with --existing resume --codec ${other}.`;
  }
  return "it must lie beside this page, whole.";
}

function startPlayer() {
  if ("requestVideoFrameCallback" in video) {
    const onFrame = (_, metadata) => {
      if (!video.seeking) onPicture(metadata.mediaTime);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  } else {
    video.addEventListener("timeupdate", () => { if (!video.seeking) onPicture(video.currentTime); });
  }
  video.addEventListener("ended", () => { if (player.looped) { seekToTime(player.looped.start_s); video.play(); } });
  video.addEventListener("seeked", checkLanding);
  video.addEventListener("click", togglePlay);
  video.addEventListener("error", () =>
    warn(`annotated.mp4 cannot be played: ${whyNotPlayed()}`));
  const sign = () => {
    $("play-icon").setAttribute("d", video.paused ? "M4 2l10 6-10 6z" : "M3 2h4v12H3zM9 2h4v12H9z");
    $("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  };
  for (const name of ["play", "pause", "ended"]) video.addEventListener(name, sign);
  $("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); });
  $("seek").max = Math.max(0, times.length - 1);
  $("seek").addEventListener("input", () => seekTo(Number($("seek").value)));
  player.listeners.push((position) => {
    const text = `${clock(times[position] ?? 0)} · frame ${frameNumbers[position] ?? 0}`;
    $("clock").textContent = text;
    $("seek").value = position;
    $("seek").setAttribute("aria-valuetext", text);
  });
}
