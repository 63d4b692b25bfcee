"""The page that people rate on: two videos beside each other, the questions, and a file of answers.

It is one HTML file beside the videos; it needs no server and no other host. Answers stay in the
browser (they survive a reload) until the rater saves them as a JSON file.
"""

import json
from html import escape

from app.study.dimensions import ANSWERS

_WORDS = {"left": "the left one", "right": "the right one", "equal": "about equal"}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
figure { margin: 0; } video { width: 100%; background: #0003; } figcaption { text-align: center; }
fieldset { border: 0; border-bottom: 1px solid #8886; margin: .8rem 0 0; padding: 0 0 .4rem; }
label { white-space: nowrap; }
fieldset label { display: inline-block; margin-right: 1.2rem; padding: .3rem 0; }
legend { font-weight: 600; padding: 0; }
button, input[type=number] { font: inherit; padding: .4rem 1rem; }
#told { min-height: 1.5em; }
"""
_SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const store = "visavis-study-" + data.study;
let state = JSON.parse(localStorage.getItem(store) || "null");
const keep = () => localStorage.setItem(store, JSON.stringify(state));
const trials = () => data.trials[state.rater];
function show() {
  at("start").hidden = state !== null;
  const over = state !== null && state.answers.length >= trials().length;
  at("rate").hidden = state === null || over;
  at("end").hidden = !over;
  if (state === null || over) return;
  const trial = trials()[state.answers.length];
  for (const side of ["left", "right"]) {
    at(side).src = trial[side]; at(side).muted = false; at(side).load();
  }
  at("form").reset();
  at("told").textContent = "Pair " + (state.answers.length + 1) + " of " + trials().length;
  state.shown = Date.now();
}
at("begin").addEventListener("submit", event => {
  event.preventDefault();
  state = { rater: Number(at("rater").value) - 1, answers: [], shown: 0 };
  keep(); show();
});
at("form").addEventListener("submit", event => {
  event.preventDefault();
  const trial = trials()[state.answers.length];
  const answers = Object.fromEntries(new FormData(event.target));
  state.answers.push({ trial: trial.trial, answers, ms: Date.now() - state.shown });
  keep(); show(); window.scrollTo(0, 0);
});
at("both").addEventListener("click", () => {
  for (const side of ["left", "right"]) at(side).currentTime = 0;
  at("right").muted = true;
  for (const side of ["left", "right"]) at(side).play();
});
at("save").addEventListener("click", () => {
  const result = { format: "visavis-answers-1", study: data.study, rater: state.rater,
                   answers: state.answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 1)],
                                           { type: "application/json" }));
  link.download = "answers-" + (state.rater + 1) + ".json";
  link.click();
});
show();
"""


def page(
    study: str, title: str, dimensions: dict[str, str], trials: list[list[dict[str, str]]]
) -> str:
    """The whole page, for as many raters as there are lists of trials."""
    questions = "".join(_question(name, question) for name, question in dimensions.items())
    # "</" would end the script that the data are in.
    data = json.dumps({"study": study, "trials": trials}).replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>
<form id="begin"><section id="start" hidden>
<p>You will see pairs of videos of a person in a conversation. Watch both with sound, as often as
you like, and answer each question. The videos are synthetic; nothing is sent anywhere.</p>
<label>Your number <input id="rater" type="number" min="1" max="{len(trials)}" value="1" required>
</label> <button>Begin</button></section></form>
<section id="rate" hidden><p id="told" aria-live="polite"></p><div class="pair">
<figure><video id="left" controls playsinline preload="auto"></video><figcaption>left</figcaption>
</figure><figure><video id="right" controls playsinline preload="auto"></video>
<figcaption>right</figcaption></figure></div>
<p><button type="button" id="both">Play both (sound of the left one)</button></p>
<form id="form">{questions}<p><button>Next</button></p></form></section>
<section id="end" hidden><p>Thank you. Save your answers and send the file back.</p>
<button type="button" id="save">Save the answers</button></section></main>
<script type="application/json" id="data">{data}</script><script>{_SCRIPT}</script></body></html>
"""


def _question(name: str, question: str) -> str:
    choices = "".join(
        f'<label><input type="radio" name="{escape(name)}" value="{answer}" required> '
        f"{_WORDS[answer]}</label>"
        for answer in ANSWERS
    )
    return f"<fieldset><legend>{escape(question)}</legend>{choices}</fieldset>"
