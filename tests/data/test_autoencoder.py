"""Autoencoders, held against diffusers itself."""

import sys

import pytest
import torch
from diffusers import AutoencoderKL

from lina_lab.config.data import AutoencoderConfig, DataConfig
from lina_lab.data import autoencoder as module
from lina_lab.data.autoencoder import decoder, load_autoencoder
from lina_lab.errors import LabError
from tests.latents import coder, save_autoencoder

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_autoencoder(tmp_path_factory.mktemp("coder"))


def loaded(path, **more):
    return load_autoencoder(AutoencoderConfig.model_validate(coder(path, **more)), CPU)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_moments_are_mean_and_log_variance_as_diffusers_cuts_it(path):
    images, ours = 40 * noise(3, 3, 32, 32), loaded(path)
    own = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False)
    own.quant_conv.bias.data[16:] += torch.linspace(-60, 60, 16)  # some log-variances beyond what is kept
    ours.model.quant_conv.bias.data[16:] += torch.linspace(-60, 60, 16)
    try:
        with torch.no_grad():
            expected = own.encode(images).latent_dist
        mean, logvar = ours.encode(images).chunk(2, dim=1)
    finally:
        ours.model.quant_conv.bias.data[16:] -= torch.linspace(-60, 60, 16)
    assert mean.shape == (3, 16, 8, 8)
    torch.testing.assert_close(mean, expected.mean)
    torch.testing.assert_close(torch.exp(logvar / 2), expected.std)
    assert (logvar.min(), logvar.max()) == (-30, 20)


@pytest.mark.parametrize("channels", [4, 16])
def test_decoding_takes_back_the_scale_and_the_shift_that_training_puts_on(tmp_path, channels):
    path = save_autoencoder(tmp_path / "coder", channels=channels)
    z = noise(2, channels, 8, 8)
    decode = loaded(path, channels=channels, scaling_factor=0.3611, shift_factor=-0.7).decode
    with torch.no_grad():
        expected = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False).decode(z).sample
    torch.testing.assert_close(decode((z + 0.7) * 0.3611), expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (2, 3, 32, 32)


def test_batches_hold_no_more_pixels_than_they_should_and_change_nothing(path, monkeypatch):
    coder, images = loaded(path), noise(7, 3, 16, 16)
    moments, decoded = coder.encode(images), coder.decode(noise(7, 16, 4, 4))
    seen = []
    encode = coder.model.encode
    monkeypatch.setattr(coder.model, "encode", lambda part: (seen.append(len(part)), encode(part))[1])
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 3 * 16 * 16 + 1)
    torch.testing.assert_close(coder.encode(images), moments)
    torch.testing.assert_close(coder.decode(noise(7, 16, 4, 4)), decoded)
    assert seen == [3, 3, 1]
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(coder.encode(images), moments)


def test_only_sides_above_the_limit_are_decoded_in_tiles(path, monkeypatch):
    coder, z = loaded(path, scaling_factor=1.0, shift_factor=0.0), noise(1, 16, 8, 8)
    whole = coder.decode(z)
    monkeypatch.setattr(module, "TILED_ABOVE", 31)
    tiled = coder.decode(z)
    own = AutoencoderKL.from_pretrained(path, low_cpu_mem_usage=False)
    own.enable_tiling()
    with torch.no_grad():
        torch.testing.assert_close(tiled, own.decode(z).sample)
    assert not torch.allclose(tiled, whole)
    monkeypatch.setattr(module, "TILED_ABOVE", 32)
    assert torch.equal(coder.decode(z), whole)


def test_what_the_config_says_wrongly_is_told_with_what_is_right(path, tmp_path):
    with pytest.raises(LabError, match=r"data\.autoencoder\.channels must be 16 for .*, not 4"):
        loaded(path, channels=4)
    with pytest.raises(LabError, match=r"data\.autoencoder\.stride must be 4 for .*, not 8"):
        loaded(path, stride=8)
    found = loaded(path).sha256
    with pytest.raises(LabError, match=rf"digest says: must be {found[:12]}, not 000000000000"):
        loaded(path, digest="0" * 12)
    assert loaded(path, digest=found[:12]).sha256 == found
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match=r"data\.autoencoder\.path .*empty: cannot be loaded"):
        loaded(tmp_path / "empty")


def test_a_damaged_file_of_weights_is_told(tmp_path):
    path = save_autoencoder(tmp_path / "coder")
    weights = path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LabError, match=r"data\.autoencoder\.path .*coder: cannot be loaded"):
        loaded(path)


def test_the_same_weights_have_one_digest_wherever_they_lie(path, tmp_path):
    assert loaded(save_autoencoder(tmp_path / "again")).sha256 == loaded(path).sha256
    assert loaded(save_autoencoder(tmp_path / "other", seed=1)).sha256 != loaded(path).sha256


def test_without_diffusers_it_is_said_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(LabError, match=r"needs diffusers: pip install 'lina-lab\[latents\]'"):
        loaded(path, scaling_factor=0.123)


def test_a_model_of_pixels_needs_no_decoder():
    images = noise(2, 3, 8, 8)
    assert decoder(DataConfig.model_validate({"name": "emoji"}), CPU)(images) is images
