"""Sound and pictures by the clock, and sound that comes in pieces out of order."""

import numpy as np

from app.live.arrival import Arrival
from app.live.playout import LEAD_S, Playout
from app.live.session import CHUNK_SAMPLES, LiveChunk
from audio2motion.hearing.audio import SAMPLE_RATE

CHUNK_S = CHUNK_SAMPLES / SAMPLE_RATE


def chunk(index: int) -> LiveChunk:
    """Sound that counts its samples, frames that count theirs."""
    first = index * CHUNK_SAMPLES
    frames = np.full((5, 2, 2, 3), 1, np.uint8) * np.arange(5, dtype=np.uint8)[:, None, None, None]
    agent = np.arange(first, first + CHUNK_SAMPLES, dtype=np.float32)
    return LiveChunk(index, frames + np.uint8(5 * index), agent, 0.0, False, False)


def test_sound_and_frames_come_when_they_are_due() -> None:
    playout = Playout()
    assert playout.frame(9.0) is None and not playout.sound(9.0, 320).any()
    playout.put(chunk(0), 10.0)
    playout.put(chunk(1), 10.1)
    begins = 10.0 + LEAD_S
    assert playout.frame(begins - 0.001) is None
    assert not playout.sound(begins - 0.02, 320).any()
    heard = np.concatenate([playout.sound(begins + 0.02 * n, 320) for n in range(21)])
    assert np.array_equal(heard[: 2 * CHUNK_SAMPLES], np.arange(2 * CHUNK_SAMPLES))
    assert not heard[2 * CHUNK_SAMPLES :].any()
    seen = [due.frame[0, 0, 0] for n in range(10) if (due := playout.frame(begins + 0.041 * n))]
    assert seen == list(range(10)), "each once, in order"


def test_a_late_chunk_puts_off_what_follows_and_frames_that_are_past_are_left_out() -> None:
    playout = Playout()
    playout.put(chunk(0), 10.0)
    late = 10.0 + CHUNK_S + 0.5
    assert (due := playout.frame(late)) is not None and due.frame[0, 0, 0] == 4
    playout.put(chunk(1), late)
    assert playout.frame(late) is None
    assert playout.sound(late + LEAD_S, 2).tolist() == [CHUNK_SAMPLES, CHUNK_SAMPLES + 1]


def test_who_was_interrupted_is_not_heard_but_seen() -> None:
    playout = Playout()
    playout.put(chunk(0), 10.0)
    playout.hush()
    assert not playout.sound(10.0 + LEAD_S, 320).any()
    assert playout.frame(10.0 + LEAD_S) is not None


def piece(at: int, count: int = 320) -> tuple[int, np.ndarray]:
    return at, np.arange(at, at + count, dtype=np.float32)


def test_pieces_that_change_places_are_put_in_order_and_told_twice_heard_once() -> None:
    arrival = Arrival()
    order = [0, 640, 320, 320, 1280, 960]
    heard = np.concatenate([arrival.put(*piece(at)) for at in order])
    assert np.array_equal(heard, np.arange(1600)) and arrival.lost == 0


def test_what_is_lost_is_silence_of_its_length_and_waited_for_only_shortly() -> None:
    arrival = Arrival()
    arrival.put(*piece(0))
    assert not len(arrival.put(*piece(640)))
    heard = arrival.put(*piece(960))
    assert len(heard) == 960 and arrival.lost == 320
    assert not heard[:320].any() and np.array_equal(heard[320:], np.arange(640, 1280))
    assert not len(arrival.put(*piece(320))), "it came too late"


def test_no_place_makes_a_long_silence_or_a_long_wait() -> None:
    arrival = Arrival()
    arrival.put(*piece(0))
    assert len(arrival.put(*piece(2**60))) == 320
    assert len(arrival.put(*piece(5))) == 320
    held = [len(arrival.put(400 + 2 * n, np.ones(1, np.float32))) for n in range(200)]
    assert sum(held) > 100 and len(arrival._kept) < 64
    assert not len(arrival.put(800, np.empty(0, np.float32)))
