const source = document.body.dataset.parts, known = {};
async function renew() {
  if (document.hidden) return;
  const said = document.getElementById("said");
  try {
    const answer = await fetch(source);
    if (!answer.ok) throw new Error(answer.status);
    for (const [name, html] of Object.entries(await answer.json())) {
      if (known[name] === html) continue;
      known[name] = html;
      const log = document.querySelector(`#${name} .log`), at = log && log.scrollTop;
      document.getElementById(name).innerHTML = html;
      if (log) { const now = document.querySelector(`#${name} .log`); if (now) now.scrollTop = at; }
    }
    slide();
    said.textContent = `as of ${new Date().toLocaleTimeString()}`;
    said.className = "note";
  } catch {
    said.textContent = "No answer: lab report --follow has ended, or cannot be reached. This page is what it said last.";
    said.className = "warning";
  }
}
if (source) {
  setInterval(renew, 3000);
  document.addEventListener("visibilitychange", renew);
}
