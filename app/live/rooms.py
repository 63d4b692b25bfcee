"""Live conversations of a server: found again by their visitors, saved when they are left alone.

A place that nobody uses is nobody's: where all are taken, a new conversation takes over that of
the one that was left first, then of one whose visitor has been silent for long. What is taken over
is saved, and goes on when it is resumed and a place is free.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.service import Service
from app.live.config import LiveConfig
from app.live.origin import live_origin
from app.live.session import LiveChunk, LiveSession
from app.provenance.origin import Origin
from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from app.render.reading import read_portrait
from audio2motion.voice.agent_voice import AgentVoice, Pieces
from motion2video.portrait.portrait import Portrait
from weights.errors import BusyError, InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from audio2motion.voice.language import LanguageVoice, Turn

_LINGER_S = 60.0
"""A conversation whose visitor has gone is kept in memory for so long, then on disk."""
_SILENT_S = 30.0
"""A visitor who sends nothing for so long keeps their place only while nobody needs it."""
_GONE_S = 4.0
"""A visitor sends sound all the time: a connection that brought none for so long has broken off."""
_SAVING_S = 30.0
_LOOK_S = 5.0
_log = logging.getLogger("visavis.live")
_REMEMBERED = 40
"""Turns that a language model is told of, from both sides."""


class Room:
    """One conversation: its session, who it belongs to, and its latest picture for onlookers."""

    def __init__(
        self,
        identity: str,
        owner: str,
        place: str,
        session: LiveSession,
        size: int,
        portrait: str | None,
    ) -> None:
        self.id, self.owner, self.place = identity, owner, place
        self.session, self.size, self.portrait = session, size, portrait
        self.lock = threading.Lock()
        """Held by whoever works on the session: a connection that broke off may still be at it."""
        self.attached = True
        self.visits = 1
        """Connections so far; only the latest speaks for the visitor."""
        self.left = self.began = self.heard = time.monotonic()
        self.taken_over = False
        self.told: set[Callable[[], None]] = set()
        """Called in whatever thread has news: a new picture, or that the place is taken over."""
        self.look: bytes = b""
        self.looked = 0
        """Grows with every picture."""
        self.origin: Origin | None = None
        """What marks its pictures."""
        self.onlookers = 0
        self.turns: list[Turn] = []
        """What was asked of a language model and what it said."""

    def show(self, jpeg: bytes) -> None:
        """The latest picture, for onlookers."""
        self.look, self.looked = jpeg, self.looked + 1
        self.tell()

    def marked(self, chunk: LiveChunk) -> LiveChunk:
        """The chunk as it leaves, whichever way it goes."""
        if self.origin is None:
            return chunk
        return replace(chunk, frames=np.stack([self.origin.mark(f) for f in chunk.frames]))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Somebody looks on: pictures are made for them."""
        self.onlookers += 1
        try:
            yield
        finally:
            self.onlookers -= 1

    def tell(self) -> None:
        """There is news."""
        for listener in tuple(self.told):
            listener()


class _Answer(AgentVoice):
    """A language model's answer that a room remembers, as far as it was spoken."""

    def __init__(self, voice: "LanguageVoice", question: str, room: Room) -> None:
        self._voice, self._question, self._room = voice, question, room
        self.language = voice.language

    def speak(self) -> Pieces:
        """The pieces as they come; the two turns are remembered when it ends or is broken off."""
        from audio2motion.voice.language import Turn

        pieces, said = self._voice.speak(), ""
        try:
            for piece in pieces:
                said += piece.text
                yield piece
        finally:
            pieces.close()
            if said.strip():
                turns = (Turn("user", self._question), Turn("assistant", said.strip()))
                self._room.turns = [*self._room.turns, *turns][-_REMEMBERED:]


class LiveRooms:
    """At most `limits.max_live` conversations at a time, and `limits.max_live_each` of one place:
    an owner, or the address of somebody who has not said who they are. Safe for many threads.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rooms: dict[str, Room] = {}
        self._opening: list[str] = []
        """Whose conversations are being prepared."""
        self._saving: set[str] = set()
        self._lock = threading.Lock()
        self._saved = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._watch, name="visavis-rooms", daemon=True)

    def start(self) -> None:
        """Begin to look after conversations that were left alone."""
        self._thread.start()

    def open(
        self,
        owner: str,
        place: str,
        portrait: str | None,
        size: int,
        config: LiveConfig,
        consent: str | None = None,
    ) -> Room:
        """A new conversation with the photo of that id in the store; the embedded one for None.
        `consent` is that of the person shown, for the log.

        Raises BusyError when there are too many, NotFoundError for a photo that is not theirs, and
        what loading and the photo raise.
        """
        with self._admitted(place):
            path = self._photo(portrait, owner)
            session = self._begin(path, size, lambda a, p: LiveSession(a, p, config))
            room = Room(secrets.token_urlsafe(16), owner, place, session, size, portrait)
            room.origin = self._origin(room, path)
            room.origin.log({"consent": consent}, _log.warning)
            self._service.database.rows(
                "insert into live values (?, ?, ?, ?, null, ?)",
                *(room.id, owner, str(size), portrait, time.time()),
            )
            with self._lock:
                self._rooms[room.id] = room
            return room

    def resume(self, identity: str, owner: str, place: str) -> Room:
        """A conversation that its visitor had left, also before a restart, or whose connection has
        broken off unnoticed. Raises NotFoundError, and BusyError while the other connection lives.
        """
        with self._lock:
            self._saved.wait_for(lambda: identity not in self._saving, _SAVING_S)
            room = self._rooms.get(identity)
            if room is not None and room.owner == owner:
                now = time.monotonic()
                if room.attached and now - room.heard < _GONE_S:
                    raise BusyError("this conversation is going on in another connection", 1)
                room.attached, room.heard = True, now
                room.visits += 1
                room.tell()
                return room
        row = self._service.database.row(
            "select * from live where id = ? and owner = ? and state is not null", identity, owner
        )
        if row is None:
            raise NotFoundError("there is no such conversation")
        try:
            with self._admitted(place):
                path, data = self._photo(row["portrait"], owner), self._path(identity).read_bytes()
                size = int(row["options"])
                session = self._begin(path, size, lambda a, p: LiveSession.restore(a, p, data))
                room = Room(identity, owner, place, session, size, row["portrait"])
                room.turns, room.origin = self._turns(identity), self._origin(room, path)
                with self._lock:
                    self._rooms[identity] = room
                return room
        except FileNotFoundError as error:
            raise NotFoundError("there is no such conversation") from error

    def reply(self, words: str, room: Room, voice: str) -> AgentVoice:
        """The language model's answer, which knows what was said in the room before; `voice` says
        it where the endpoint has no speech model. Raises InputError where visitors may not ask one.
        """
        from audio2motion.voice.language import LanguageVoice

        endpoint = self._service.endpoint
        if endpoint is None:
            raise InputError("this server has no language model to answer; use `say`")
        model = LanguageVoice(endpoint, words, history=tuple(room.turns), voice=voice)
        return _Answer(model, words, room)

    def look_up(self, identity: str) -> Room | None:
        """A conversation in memory, by its id alone: who calls has checked who asks."""
        return self._rooms.get(identity)

    def resize(self, room: Room, size: int) -> None:
        """Go on in pictures of another size. Raises what reading the photo raises."""
        path = self._photo(room.portrait, room.owner)
        portrait = self._portrait(self._service.loader.get(), path, size)
        with room.lock:
            room.session.change_portrait(portrait)
            room.size = size
        self._service.database.rows("update live set options = ? where id = ?", str(size), room.id)

    def leave(self, room: Room) -> None:
        """The visitor has gone, maybe to come back."""
        room.left = time.monotonic()
        room.attached = False

    def end(self, room: Room) -> None:
        """The conversation is over; nothing of it is kept."""
        with self._lock:
            self._rooms.pop(room.id, None)
        with room.lock:
            room.session.close()
        self._service.database.rows("delete from live where id = ?", room.id)
        self._forget(room.id)

    def close(self) -> None:
        """Save every conversation; `resume` finds it after the next start."""
        with self._lock:
            rooms, self._rooms = list(self._rooms.values()), {}
        for room in rooms:
            self._save(room)

    @property
    def count(self) -> int:
        """Conversations in memory."""
        return len(self._rooms)

    def _begin(
        self, path: Path, size: int, make: Callable[[Avatar, Portrait], LiveSession]
    ) -> LiveSession:
        avatar = self._service.loader.get()
        return make(avatar, self._portrait(avatar, path, size))

    def _portrait(self, avatar: Avatar, path: Path, size: int) -> Portrait:
        reader = SandboxReader(shared_sandbox())
        return read_portrait(reader, path, avatar.tracker, size=size, crop="head")

    def _origin(self, room: Room, photo: Path) -> Origin:
        return live_origin(self._service.loader.get().provenance, room.id, photo)

    def _photo(self, portrait: str | None, owner: str) -> Path:
        if portrait is None:
            return DEFAULT_PORTRAIT
        self._service.store.hold([portrait], self._service.limits.max_live_seconds)
        return self._service.store.get(portrait, owner).path

    def _path(self, identity: str) -> Path:
        return self._service.database.folder / "live" / f"{identity}.npz"

    def _turns(self, identity: str) -> "list[Turn]":
        from audio2motion.voice.language import Turn

        kept = self._path(identity).with_suffix(".json")
        turns = json.loads(kept.read_text(encoding="utf8")) if kept.is_file() else []
        return [Turn(**turn) for turn in turns]

    def _forget(self, identity: str) -> None:
        for suffix in (".npz", ".json"):
            self._path(identity).with_suffix(suffix).unlink(missing_ok=True)

    @contextmanager
    def _admitted(self, place: str) -> Iterator[None]:
        """A place while a conversation is prepared for it. Raises BusyError."""
        with self._lock:
            over = self._make_room(place)
            self._opening.append(place)
        try:
            if over is not None:
                over.tell()
                self._save(over)
            yield
        finally:
            with self._lock:
                self._opening.remove(place)

    def _make_room(self, place: str) -> Room | None:
        """The conversation whose place a new one takes; None where there is a free one."""
        limits, rooms = self._service.limits, list(self._rooms.values())
        mine = [room for room in rooms if room.place == place]
        if len(mine) + self._opening.count(place) >= limits.max_live_each:
            among, problem = mine, f"you have {limits.max_live_each} conversations; end one first"
        elif len(rooms) + len(self._opening) >= limits.max_live:
            among, problem = rooms, "too many conversations are going on; try again later"
        else:
            return None
        silent = time.monotonic() - _SILENT_S
        unused = [room for room in among if not room.attached or room.heard < silent]
        if not unused:
            raise BusyError(problem, 30)
        over = min(unused, key=lambda room: (room.attached, max(room.left, room.heard)))
        over.taken_over = True
        del self._rooms[over.id]
        self._saving.add(over.id)
        return over

    def _save(self, room: Room) -> None:
        try:
            self._write(room)
        finally:
            with self._lock:
                self._saving.discard(room.id)
                self._saved.notify_all()

    def _write(self, room: Room) -> None:
        path = self._path(room.id)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with room.lock:
            path.write_bytes(room.session.save())
            room.session.close()
        spoken = json.dumps([asdict(turn) for turn in room.turns])
        path.with_suffix(".json").write_text(spoken, encoding="utf8")
        self._service.database.insist(
            self._service.closing,
            "update live set state = 'saved', updated = ? where id = ?",
            *(time.time(), room.id),
        )

    def _watch(self) -> None:
        while not self._service.closing.wait(_LOOK_S):
            try:
                self._look_after()
            except UnavailableError as error:
                _log.warning("live conversations: %s", error)
            except Exception:
                # Conversations that were left would stay in memory for good without this thread.
                _log.exception("live conversations could not be looked after")

    def _look_after(self) -> None:
        """Save those that were left alone, forget those past their time."""
        now = time.monotonic()
        with self._lock:
            alone = [
                room
                for room in self._rooms.values()
                if not room.attached and now - room.left > _LINGER_S
            ]
            for room in alone:
                del self._rooms[room.id]
                self._saving.add(room.id)
        for room in alone:
            self._save(room)
        database, expiry = self._service.database, self._service.limits.expiry_s
        for row in database.rows("select id from live where updated < ?", time.time() - expiry):
            if row["id"] not in self._rooms:
                self._forget(row["id"])
                database.rows("delete from live where id = ?", row["id"])
