"""Fetching a family from the Hugging Face hub: once, resumable, and converted to safetensors.

huggingface_hub downloads, so that its settings hold: HF_ENDPOINT for a mirror, HF_HUB_OFFLINE,
HF_TOKEN, and HF_HOME, in whose cache is looked first. What is left of a download that broke off is
kept here until it is whole, which huggingface_hub itself does not. The revision and hash of each
file are written down when it is first fetched, and asked for again from then on.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

from motion2video.reference.conversion import Tensors, convert
from motion2video.reference.families import Family, Part, Source
from motion2video.reference.reading import read_tensors
from motion2video.reference.store import (
    Record,
    converted_path,
    folder_of,
    records,
    sha256_of,
    write_record,
)
from weights.errors import OutputError, WeightsError
from weights.registry import how_to_fetch, make_cache_folder
from weights.saving import writing_whole

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Offer:
    """What the hub has of a part: `size` in bytes, 0 where it could not be asked."""

    part: Part
    revision: str
    licence: str
    size: int


def fetch_family(
    family: Family, notify: Notify = lambda _: None, endpoint: str | None = None
) -> dict[Part, Path]:
    """The converted file of every part; what is there already is not fetched again. What will be
    downloaded, how much, and its licence are told before the first byte.

    Raises WeightsError when the hub cannot be reached, has another file than was first fetched, or
    the file does not fit; OutputError where there is no room.
    """
    wanted: list[Part] = [part for part in family.sources if not _is_here(family, part)]
    offers = [_offer(family, part, endpoint) for part in wanted]
    for offer in offers:
        source = family.sources[offer.part]
        size = f"{offer.size / 1e6:,.0f} MB" if offer.size else "size unknown"
        notify(
            f"{source.repository}/{source.file} at {offer.revision[:12] or 'the latest revision'}: "
            f"{size}, licence {offer.licence}"
        )
    if offers:
        folder = folder_of(family, "denoising_unet")
        make_cache_folder(folder)
        _require_room(folder, 2 * sum(offer.size for offer in offers))
    for offer in offers:
        _fetch(family, offer, notify, endpoint)
    return {part: converted_path(family, part) for part in family.sources}


def _is_here(family: Family, part: Part) -> bool:
    path, known = converted_path(family, part), records(folder_of(family, part)).get(part)
    return known is not None and path.is_file() and path.stat().st_size == known.converted_size


def _offer(family: Family, part: Part, endpoint: str | None) -> Offer:
    """Ask the hub; offline, what was written down, or nothing, is known."""
    from huggingface_hub import HfApi

    source = family.sources[part]
    known = records(folder_of(family, part)).get(part)
    revision = known.revision if known else None
    try:
        info = HfApi(endpoint=endpoint).model_info(
            source.repository, revision=revision, files_metadata=True
        )
    except _trouble():
        return Offer(part, revision or "", source.licence, known.size if known else 0)
    files = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    if source.file not in files:
        raise WeightsError(
            f"{source.repository} has no file {source.file} any more: ask whoever keeps it, or "
            "name a folder that has it with --weights-dir"
        )
    told = info.card_data.get("license") if info.card_data else None
    return Offer(part, info.sha or "", str(told or source.licence), files[source.file])


def _fetch(family: Family, offer: Offer, notify: Notify, endpoint: str | None) -> None:
    source, part = family.sources[offer.part], offer.part
    folder = folder_of(family, part)
    make_cache_folder(folder)
    begun = folder / f"{offer.revision[:12]}-{Path(source.file).name}"
    try:
        path = _from_cache(source, offer) or _downloaded(source, offer, begun, endpoint)
    except _trouble() as error:
        raise WeightsError(
            f"could not download {source.file} of {source.repository} ({type(error).__name__}): "
            f"connect to the network (HF_ENDPOINT names a mirror) and {how_to_fetch(family.name)} "
            "again, which goes on where it stopped"
        ) from error
    try:
        _keep(family, offer, path, notify)
    finally:
        begun.unlink(missing_ok=True)


def _keep(family: Family, offer: Offer, path: Path, notify: Notify) -> None:
    """Convert a downloaded file, and write down where it is from."""
    source, part = family.sources[offer.part], offer.part
    folder, target = folder_of(family, part), converted_path(family, part)
    digest, known = sha256_of(path), records(folder).get(part)
    if known is not None and known.sha256 != digest:
        raise WeightsError(
            f"{source.file} of {source.repository} has the SHA-256 {digest}, but {known.sha256} "
            "when it was first fetched: it was changed; remove the list "
            f"{folder} if you trust the new one"
        )
    notify(f"converting {source.file}")
    with writing_whole(target, "the weights") as file:
        made = Path(file.name)
        save_file(_contiguous(convert(part, read_tensors(path), family.shapes)), made)
        size, converted = made.stat().st_size, sha256_of(made)
        revision = offer.revision or path.parents[len(Path(source.file).parts) - 1].name
        told = (offer.licence, digest, path.stat().st_size, converted, size)
        write_record(folder, part, Record(source.repository, source.file, revision, *told))


def _from_cache(source: Source, offer: Offer) -> Path | None:
    """The hub's own copy, where somebody has downloaded it before."""
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(source.repository, source.file, revision=offer.revision or None)
    return Path(kept) if isinstance(kept, str) else None


def _downloaded(source: Source, offer: Offer, path: Path, endpoint: str | None) -> Path:
    """To `path`, from where an earlier try stopped. Raises what huggingface_hub raises, and
    WeightsError for a file that is not as long as the hub says.
    """
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if not offer.revision:  # the hub could not be asked: this says why
        return Path(hf_hub_download(source.repository, source.file, endpoint=endpoint))
    url = hf_hub_url(source.repository, source.file, revision=offer.revision, endpoint=endpoint)
    with path.open("r+b" if path.exists() else "wb") as file:
        there = file.seek(0, os.SEEK_END)
        if there < offer.size:
            http_get(url, file, resume_size=there, headers=build_hf_headers())
    if offer.size and path.stat().st_size != offer.size:
        path.unlink()
        raise WeightsError(f"{source.file} of {source.repository} came damaged: fetch it again")
    return path


def _trouble() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises when the hub cannot be reached or refuses."""
    from huggingface_hub.errors import (
        HTTPError,  # of httpx, whichever it uses
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    return HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled


def _contiguous(tensors: Tensors) -> Tensors:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OutputError(
            f"the download and its conversion need {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            f"are free at {folder}; VISAVIS_CACHE and HF_HOME name other places"
        )
