"""Who can speak: the list as a user sees it, and what each name stands for."""

from audio2motion.voice.natural import NATURAL
from audio2motion.voice.speakers import DEFAULT_VOICE, QUICK_VOICE, find_speaker, list_speakers
from audio2motion.voice.synthesis import list_voices


def test_favourites_come_first_and_are_women_and_men() -> None:
    listed = list_speakers()
    favourites = [voice for voice in listed if voice.favourite]
    assert list(listed[: len(favourites)]) == favourites and listed[0].name == DEFAULT_VOICE
    assert [voice.name for voice in listed[: len(NATURAL)]] == list(NATURAL)
    for language in {voice.language for voice in favourites}:
        sexes = {voice.sex for voice in favourites if voice.language == language}
        assert sexes == {"woman", "man"}, language
    assert listed[0].label == "Heart, American (not installed: espeak-ng), woman"


def test_every_voice_is_listed_once_and_invented_languages_last() -> None:
    names = [voice.name for voice in list_speakers()]
    assert len(set(names)) == len(names)
    assert {voice.name for voice in list_voices()} <= set(names)
    assert set(names[-7:]) >= {"piqd", "xex", "qya"}, "Klingon, a test, Quenya"


def test_a_name_is_somebody() -> None:
    assert find_speaker("de+f3").natural is None and find_speaker("de+f3").language == "de"
    assert find_speaker("Emma").espeak == "en-gb+f4" and find_speaker("Emma").notice
    assert {NATURAL[DEFAULT_VOICE].engine, NATURAL[QUICK_VOICE].engine} == {"kokoro", "piper"}
    assert NATURAL[DEFAULT_VOICE].woman
    sexes = [voice.woman for voice in NATURAL.values() if voice.engine == "kokoro"]
    assert sorted(sexes) == [False, False, True, True]
