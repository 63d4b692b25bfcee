"""Live conversations of a server: found again by their visitors, saved when they are left alone."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.context import ServerContext
from app.demo import DEFAULT_PORTRAIT
from app.pipeline import Avatar
from app.session import LiveConfig, LiveSession
from audio2motion.agent_voice import AgentVoice, Pieces
from motion2video.portrait import Portrait
from weights.errors import BusyError, InputError, NotFoundError

if TYPE_CHECKING:
    from audio2motion.language import LanguageVoice, Message

_LINGER_S = 60.0
"""A conversation whose visitor has gone is kept in memory for so long, then on disk."""
_LOOK_S = 5.0
_REMEMBERED = 40
"""Turns that a language model is told of, from both sides."""


class Room:
    """One conversation: its session, who it belongs to, and its latest picture for onlookers."""

    def __init__(self, identity: str, owner: str, session: LiveSession, size: int) -> None:
        self.id, self.owner, self.session, self.size = identity, owner, session, size
        self.lock = threading.Lock()
        """Held by whoever works on the session: a connection that broke off may still be at it."""
        self.attached = True
        self.left = self.began = time.monotonic()
        self.look: bytes = b""
        self.looked = 0
        """Grows with every picture."""
        self.turns: list[Message] = []
        """What was asked of a language model and what it said."""

    def show(self, jpeg: bytes) -> None:
        """The latest picture, for onlookers."""
        self.look, self.looked = jpeg, self.looked + 1


class _Answer(AgentVoice):
    """A language model's answer that a room remembers, as far as it was spoken."""

    def __init__(self, voice: "LanguageVoice", question: str, room: Room) -> None:
        self._voice, self._question, self._room = voice, question, room
        self.language = voice.language

    def speak(self) -> Pieces:
        """The pieces as they come; the two turns are remembered when it ends or is broken off."""
        from audio2motion.language import Message

        pieces, said = self._voice.speak(), ""
        try:
            for piece in pieces:
                said += piece.text
                yield piece
        finally:
            pieces.close()
            if said.strip():
                turns = (Message("user", self._question), Message("assistant", said.strip()))
                self._room.turns = [*self._room.turns, *turns][-_REMEMBERED:]


class LiveRooms:
    """At most `limits.max_live` conversations at a time. Safe for many threads."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._rooms: dict[str, Room] = {}
        self._opening = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="visavis-rooms", daemon=True)

    def start(self) -> None:
        """Begin to look after conversations that were left alone."""
        self._thread.start()

    def open(self, owner: str, portrait: str | None, size: int, config: LiveConfig) -> Room:
        """A new conversation with the photo of that id in the store; the embedded one for None.

        Raises BusyError when there are too many, NotFoundError for a photo that is not theirs, and
        what loading and the photo raise.
        """
        self._admit()
        try:
            path = self._photo(portrait, owner)
            session = self._begin(path, size, lambda a, p: LiveSession(a, p, config))
            room = Room(secrets.token_urlsafe(16), owner, session, size)
            self._context.database.rows(
                "insert into live values (?, ?, ?, ?, null, ?)",
                *(room.id, owner, str(size), portrait, time.time()),
            )
            with self._lock:
                self._rooms[room.id] = room
            return room
        finally:
            with self._lock:
                self._opening -= 1

    def resume(self, identity: str, owner: str) -> Room:
        """A conversation that its visitor had left, also before a restart. Raises NotFoundError."""
        with self._lock:
            room = self._rooms.get(identity)
            if room is not None and room.owner == owner:
                if room.attached:
                    raise BusyError("this conversation is going on in another connection", 1)
                room.attached = True
                return room
        row = self._context.database.row(
            "select * from live where id = ? and owner = ? and state is not null", identity, owner
        )
        if row is None:
            raise NotFoundError("there is no such conversation")
        self._admit()
        try:
            path, data = self._photo(row["portrait"], owner), self._path(identity).read_bytes()
            session = self._begin(
                path,
                int(row["options"]),
                lambda a, p: LiveSession.restore(a, p, data),
            )
            room = Room(identity, owner, session, int(row["options"]))
            room.turns = self._turns(identity)
            with self._lock:
                self._rooms[identity] = room
            return room
        except FileNotFoundError as error:
            raise NotFoundError("there is no such conversation") from error
        finally:
            with self._lock:
                self._opening -= 1

    def reply(self, words: str, room: Room) -> AgentVoice:
        """The language model's answer, which knows what was said in the room before. Raises
        InputError where visitors may not ask one.
        """
        from audio2motion.language import LanguageVoice

        endpoint = self._context.config.endpoint
        if endpoint is None:
            raise InputError("this server has no language model to answer; use `say`")
        return _Answer(LanguageVoice(endpoint, words, history=tuple(room.turns)), words, room)

    def look_up(self, identity: str) -> Room | None:
        """A conversation in memory, by its id alone: who calls has checked who asks."""
        return self._rooms.get(identity)

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
        self._context.database.rows("delete from live where id = ?", room.id)
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
        avatar = self._context.loader.get()
        return make(avatar, Portrait.load(path, avatar.tracker, size=size, crop="head"))

    def _photo(self, portrait: str | None, owner: str) -> Path:
        if portrait is None:
            return DEFAULT_PORTRAIT
        self._context.store.hold([portrait], self._context.config.limits.max_live_seconds)
        return self._context.store.get(portrait, owner).path

    def _path(self, identity: str) -> Path:
        return self._context.database.folder / "live" / f"{identity}.npz"

    def _turns(self, identity: str) -> "list[Message]":
        from audio2motion.language import Message

        kept = self._path(identity).with_suffix(".json")
        turns = json.loads(kept.read_text(encoding="utf8")) if kept.is_file() else []
        return [Message(**turn) for turn in turns]

    def _forget(self, identity: str) -> None:
        for suffix in (".npz", ".json"):
            self._path(identity).with_suffix(suffix).unlink(missing_ok=True)

    def _admit(self) -> None:
        with self._lock:
            if len(self._rooms) + self._opening >= self._context.config.limits.max_live:
                raise BusyError("too many conversations are going on; try again later", 30)
            self._opening += 1

    def _save(self, room: Room) -> None:
        path = self._path(room.id)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with room.lock:
            path.write_bytes(room.session.save())
            room.session.close()
        spoken = json.dumps([asdict(turn) for turn in room.turns])
        path.with_suffix(".json").write_text(spoken, encoding="utf8")
        self._context.database.rows(
            "update live set state = 'saved', updated = ? where id = ?", time.time(), room.id
        )

    def _watch(self) -> None:
        expiry = self._context.config.limits.expiry_s
        while not self._context.closing.wait(_LOOK_S):
            now = time.monotonic()
            with self._lock:
                alone = [
                    room
                    for room in self._rooms.values()
                    if not room.attached and now - room.left > _LINGER_S
                ]
                for room in alone:
                    del self._rooms[room.id]
            for room in alone:
                self._save(room)
            database = self._context.database
            for row in database.rows("select id from live where updated < ?", time.time() - expiry):
                if row["id"] not in self._rooms:
                    self._forget(row["id"])
                    database.rows("delete from live where id = ?", row["id"])
