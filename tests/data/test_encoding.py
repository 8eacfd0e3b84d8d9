"""A cache of latents: the same bytes however it was made, and every damage and change is noticed and mended."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data import cache
from lina_lab.data.autoencoder import Autoencoder
from lina_lab.data.datasets import load_dataset
from lina_lab.data.encoding import make_cache
from lina_lab.data.text import CACHE_VARIABLE
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.leases import attempts
from tests.latents import SMALL, coder, draw_folder, folder_data, maker, save_autoencoder

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path):
    return save_autoencoder(tmp_path / "coder")


@pytest.fixture
def config(path, tmp_path, monkeypatch):
    """Sixty images in a folder, a cache in shards of seven."""
    monkeypatch.setattr(cache, "SHARD_BYTES", SMALL)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return folder_data(draw_folder(tmp_path / "pictures"), coder(path))


def content(config: DataConfig) -> dict[str, bytes]:
    """Every file of a cache but who made it."""
    root = cache.place(config)
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if "attempts" not in name}


def told(config: DataConfig, **options) -> list[str]:
    lines: list[str] = []
    make_cache(config, tell=lines.append, **options)
    return lines[1:]


def test_padded_pictures_have_a_cache_of_their_own_and_cut_ones_the_one_they_had(config):
    rule = "EXIF orientation, onto white, centre square, Pillow's bicubic with antialiasing"
    assert cache.source(config)["data"] == {"name": "images", "path": config.path, "side": 16, "resize_rule": rule}
    assert cache.place(config.model_copy(update={"fit": "pad"})) != cache.place(config)


def test_moments_are_those_of_diffusers_in_half_precision_in_the_order_of_the_names(config, path):
    manifest = make_cache(config)
    assert manifest["count"] == 60
    assert len(manifest["shards"]) == 9
    names = [f"{kind}/{number:03}.png" for kind in ("cat", "dog") for number in range(30)]
    model = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False)
    for number in (0, 4, 8):
        shard = cache.place(config) / f"{number:05}"
        own = names[7 * number : 7 * number + 7]
        assert json.loads((shard / "shard.json").read_text())["names"] == own
        found = np.fromfile(shard / "moments.bin", np.float16).reshape(len(own), 32, 4, 4)
        for name, moments in zip(own, found, strict=True):
            with Image.open(Path(config.path) / name) as image:
                small = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC), np.float32)
            with torch.no_grad():
                posterior = model.encode(torch.tensor(small / 127.5 - 1).permute(2, 0, 1)[None]).latent_dist
            expected = torch.cat([posterior.mean, posterior.logvar], dim=1)[0]
            np.testing.assert_allclose(moments, expected, rtol=2e-3, atol=2e-3)


def test_a_finished_cache_is_left_as_it_is(config):
    make_cache(config)
    before = {name: path.stat().st_mtime_ns for path in cache.place(config).rglob("*.bin") for name in [str(path)]}
    assert told(config) == []
    assert before == {str(path): path.stat().st_mtime_ns for path in cache.place(config).rglob("*.bin")}


def test_a_killed_maker_is_continued_to_the_same_bytes(config, tmp_path, monkeypatch):
    make_cache(config)
    whole = content(config)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "killed"))
    process = maker(config, tmp_path / "killed")
    while not (cache.place(config) / "00002" / "shard.json").exists():
        time.sleep(0.001)
        assert process.is_alive()
    process.kill()
    process.join()
    assert not (cache.place(config) / "manifest.json").exists()
    half = cache.place(config) / "00008" / "moments.bin.part"  # as if it had been killed in the middle of one
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"x" * 100)
    with pytest.raises(LabError, match=r"has no finished cache of the latents of .*: run lab cache EXPERIMENT"):
        load_dataset(config)
    made = {path: path.stat().st_mtime_ns for path in cache.place(config).rglob("moments.bin")}
    assert told(config) == []
    assert content(config) == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in list(made.items())[:2])


def test_two_makers_at_once_share_the_shards_and_make_the_same_bytes(config, tmp_path, monkeypatch):
    make_cache(config)
    whole = content(config)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "shared"))
    both = [maker(config, tmp_path / "shared") for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert content(config) == whole
    makers = [attempts(cache.place(config) / f"{number:05}") for number in range(9)]
    assert all(sum(attempt.ended == "done" for attempt in own) >= 1 for own in makers)


@pytest.mark.parametrize("harm", ["flipped", "short", "gone", "record", "no record"])
def test_a_damaged_shard_is_named_and_made_again(config, harm):
    make_cache(config)
    whole, shard = content(config), cache.place(config) / "00004"
    moments = shard / "moments.bin"
    if harm == "flipped":
        data = bytearray(moments.read_bytes())
        data[100] ^= 1
        moments.write_bytes(data)
    elif harm == "short":
        moments.write_bytes(moments.read_bytes()[:-2])
        with pytest.raises(LabError, match=r"00004/moments.bin: damaged: must have 7,168 bytes, not 7,166"):
            load_dataset(config)
    elif harm == "gone":
        moments.unlink()
    elif harm == "record":
        (shard / "shard.json").write_text("{")
        with pytest.raises(LabError, match="00004: damaged or not there: lab cache makes it again"):
            load_dataset(config)
    else:
        (shard / "shard.json").unlink()
    lines = told(config)
    assert [line.partition("latents/")[2][17:] for line in lines] == (
        [] if harm == "no record" else ["00004: damaged; it is made again"]
    )
    assert content(config) == whole


def test_a_changed_image_is_noticed_by_its_file_and_with_verify_by_its_bytes(config):
    make_cache(config)
    before, file = content(config), Path(config.path) / "dog" / "002.png"
    stat, pixels = file.stat(), np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(pixels).save(file, compress_level=0)
    assert file.stat().st_size == stat.st_size
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert told(config) == []  # as promised: not seen without reading
    lines = told(config, verify=True)
    assert len(lines) == 1
    assert lines[0].endswith("00004: dog/002.png has changed; it is made again")
    changed = content(config)
    assert {name for name in before if before[name] != changed[name]} == {
        *("manifest.json", "00004/shard.json", "00004/moments.bin")
    }
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # touched, but the same
    assert told(config) == []
    Image.fromarray(pixels[::-1].copy()).save(file, compress_level=0)
    assert len(told(config)) == 1
    assert (
        len({json.loads(found["manifest.json"])["source_sha256"] for found in (before, changed, content(config))}) == 3
    )


def test_an_image_more_moves_what_comes_after_it_and_fewer_leave_no_old_shards(config):
    make_cache(config)
    extra = Path(config.path) / "dog" / "0155.png"
    extra.write_bytes((Path(config.path) / "dog" / "000.png").read_bytes())
    assert [line.partition("latents/")[2][17:22] for line in told(config)] == ["00006", "00007", "00008"]
    for file in sorted((Path(config.path) / "dog").iterdir())[-8:]:
        file.unlink()
    make_cache(config)
    assert len(list(cache.place(config).glob("0*"))) == 8
    assert len(load_dataset(config).train.images) + len(load_dataset(config).heldout.images) == 53


def test_other_weights_in_the_same_place_encode_everything_again(config, path):
    from lina_lab.data.autoencoder import load_autoencoder

    before = make_cache(config)
    save_autoencoder(path, seed=1)
    load_autoencoder.cache_clear()  # as in a new process
    assert len(told(config)) == 9
    after = json.loads((cache.place(config) / "manifest.json").read_text())
    assert after["autoencoder_sha256"] != before["autoencoder_sha256"]
    assert after["sha256"] != before["sha256"]
    assert after["source_sha256"] == before["source_sha256"]
    load_autoencoder.cache_clear()


def test_another_decoder_is_another_cache_to_a_cell_although_the_moments_are_the_same(config, path):
    from lina_lab.data.autoencoder import load_autoencoder

    before, moments = make_cache(config), (cache.place(config) / "00003" / "moments.bin").read_bytes()
    model = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False)
    model.decoder.conv_out.bias.data += 0.1
    model.save_pretrained(path)
    load_autoencoder.cache_clear()
    after = make_cache(config)
    assert (cache.place(config) / "00003" / "moments.bin").read_bytes() == moments
    assert after["sha256"] != before["sha256"]
    load_autoencoder.cache_clear()


def test_every_image_that_cannot_be_used_is_named_at_once_and_the_rest_is_kept(config):
    pictures = Path(config.path)
    whole = (pictures / "cat" / "001.png").read_bytes()
    (pictures / "cat" / "001.png").write_bytes(whole[:80])
    (pictures / "cat" / "029.png").write_bytes(b"")
    Image.new("RGB", (8, 80)).save(pictures / "dog" / "029.png")
    with pytest.raises(LabError) as caught:
        make_cache(config)
    lines = str(caught.value).splitlines()
    assert [line.partition("pictures/")[2].partition(":")[0] for line in lines] == [
        *("cat/001.png", "cat/029.png", "dog/029.png")
    ]
    assert "must have at least 16 x 16 pixels, not 8 x 80" in lines[2]
    assert len(list(cache.place(config).rglob("shard.json"))) == 6
    assert not (cache.place(config) / "manifest.json").exists()
    for name in ("cat/001.png", "cat/029.png", "dog/029.png"):
        write_atomic(pictures / name, whole)
    assert make_cache(config)["count"] == 60


def test_what_float16_cannot_hold_is_refused(config, path):
    from lina_lab.data.autoencoder import load_autoencoder

    model = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False)
    model.quant_conv.bias.data[0] = 1e6
    model.save_pretrained(path)
    load_autoencoder.cache_clear()
    with pytest.raises(LabError, match=r"cat/000.png: float16 cannot hold what it is encoded to"):
        make_cache(config)
    load_autoencoder.cache_clear()


def test_what_is_no_part_of_the_moments_is_no_part_of_the_place(config):
    scaled = config.model_copy(update={"held_out": 0.3})
    scaled = scaled.model_copy(update={"autoencoder": config.autoencoder.model_copy(update={"scaling_factor": 2.0})})
    assert cache.place(scaled) == cache.place(config)
    for change in ({"side": 32}, {"path": "elsewhere"}):
        assert cache.place(config.model_copy(update=change)) != cache.place(config)
    other = config.autoencoder.model_copy(update={"path": "elsewhere"})
    assert cache.place(config.model_copy(update={"autoencoder": other})) != cache.place(config)


def test_a_cache_follows_images_and_weights_to_another_path_and_nothing_is_encoded_again(config, path, monkeypatch):
    make_cache(config)
    whole = {name: data for name, data in content(config).items() if name.endswith(".bin")}
    first = cache.read_manifest(config)
    shutil.move(config.path, f"{config.path}-moved")
    shutil.move(path, f"{path}-moved")
    moved = folder_data(Path(f"{config.path}-moved"), coder(Path(f"{path}-moved")))
    monkeypatch.setattr(Autoencoder, "encode", lambda *_: pytest.fail("encoded again"))
    assert len(told(moved)) == 1
    assert {name: data for name, data in content(moved).items() if name.endswith(".bin")} == whole
    now = cache.read_manifest(moved)
    assert (now["sha256"], now["data"]["path"]) == (first["sha256"], moved.path)
    assert cache.read_manifest(config) == first


def test_a_cache_of_other_images_is_not_taken_over(config, path):
    first = make_cache(config)
    shutil.move(config.path, f"{config.path}-moved")
    Image.new("RGB", (20, 20)).save(f"{config.path}-moved/cat/003.png")
    moved = folder_data(Path(f"{config.path}-moved"), coder(path))
    assert told(moved) == []
    assert cache.read_manifest(moved)["sha256"] != first["sha256"]
