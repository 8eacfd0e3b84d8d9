"""Published weights are looked for, checked and never replaced by others.

The real ones are not here: small networks of the same layout stand in for DINOv2 and CLIP, and Inception is its own
network with random weights.
"""

import hashlib

import pytest
import torch

from lina_lab.config.settings import PUBLISHED
from lina_lab.errors import LabError
from lina_lab.evaluation import published_extractors as published
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.published_extractors import WEIGHTS, find_weights, load_published, weights_file

IMAGES = torch.randint(256, (3, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def given(monkeypatch):
    """Name a file by the variable of an extractor, and take its SHA-256 as the published one."""

    def name(extractor, path, dim=None):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setenv(WEIGHTS[extractor].variable, str(path))
        monkeypatch.setitem(WEIGHTS, extractor, WEIGHTS[extractor]._replace(sha256=digest))
        if dim is not None:
            monkeypatch.setitem(PUBLISHED, extractor, dim)
        return digest[:8]

    return name


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_weights_are_refused_with_what_to_get(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(WEIGHTS[name].variable, raising=False)
    with pytest.raises(LabError) as caught:
        load_extractor(name)
    for part in (name, WEIGHTS[name].file, WEIGHTS[name].source, WEIGHTS[name].variable, str(tmp_path)):
        assert part in str(caught.value)


def test_a_file_is_found_in_torch_hubs_folder_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("LAB_DINOV2_WEIGHTS", raising=False)
    path = tmp_path / "hub" / "checkpoints" / "dinov2-large" / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert find_weights("dinov2") == path


@pytest.mark.parametrize("name", ["inception", "clip"])
def test_a_file_with_another_digest_than_the_published_one_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    monkeypatch.setenv(WEIGHTS[name].variable, str(path))
    with pytest.raises(LabError, match=r"weights\.pth: is not .*its SHA-256 begins with"):
        weights_file(name)


def test_the_digests_are_those_that_torch_fidelity_was_made_for():
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert MODEL_METADATA["clip-vit-l-14-336px"]["hash"] == WEIGHTS["clip"].sha256
    assert URL_INCEPTION_V3.endswith(WEIGHTS["inception"].file)


@pytest.mark.slow
def test_dinov2_gives_its_class_token_after_the_last_norm(tmp_path, given):
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 518, "patch_size": 14}
    model = Dinov2Model(Dinov2Config(**shape)).eval()
    model.save_pretrained(tmp_path)
    digest = given("dinov2", tmp_path / "model.safetensors", dim=24)
    extractor = load_published("dinov2")
    found = extractor.extract(IMAGES).features
    assert (extractor.id, extractor.dim, found.shape) == (f"dinov2-vit-l-14-{digest}", 24, (3, 24))
    grey = torch.full((1, 3, 50, 50), 128, dtype=torch.uint8)  # the same at any size
    pixels = (torch.full((1, 3, 224, 224), 128 / 255) - torch.tensor(published.MEAN).view(3, 1, 1)) / torch.tensor(
        published.DEVIATION
    ).view(3, 1, 1)
    with torch.no_grad():
        expected = model(pixel_values=pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(extractor.extract(grey).features, expected, rtol=1e-3, atol=1e-4)


class TinyCLIP(torch.nn.Module):
    """The layout of OpenAI's file: the picture's half, and what torch-fidelity reads of the text's."""

    def __init__(self):
        from torch_fidelity.feature_extractor_clip import VisionTransformer

        super().__init__()
        self.visual = VisionTransformer(28, 14, 64, 2, 1, 16)
        self.text_projection = torch.nn.Parameter(torch.zeros(8, 16))

    def forward(self, images):
        return self.visual(images)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_clip_reads_the_archive_that_openai_publishes(tmp_path, given):
    torch.manual_seed(0)
    model, path = TinyCLIP().eval(), tmp_path / "ViT.pt"
    torch.jit.trace(model, torch.zeros(1, 3, 28, 28)).save(path)
    digest = given("clip", path, dim=16)
    extractor = load_published("clip")
    found = extractor.extract(IMAGES).features
    assert (extractor.id, found.shape) == (f"clip-vit-l-14-336px-{digest}", (3, 16))
    torch.testing.assert_close(extractor.extract(IMAGES[1:]).features, found[1:])


@pytest.mark.slow
def test_inception_gives_features_logits_and_the_map_of_sfid(tmp_path, given, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
    monkeypatch.setattr(torch, "load", lambda path, weights_only: {})
    path = tmp_path / "inception.pth"
    path.write_bytes(b"stand-in")
    torch.manual_seed(0)
    digest = given("inception", path)
    extractor = load_published("inception")
    found = extractor.extract(IMAGES)
    assert extractor.id == f"inception-v3-compat-{digest}"
    assert (found.features.shape, found.logits.shape, found.spatial.shape) == ((3, 2048), (3, 1008), (3, 2023))
    assert found.spatial.min() >= 0  # after its ReLU
    assert isinstance(FeatureExtractorInceptionV3.INPUT_IMAGE_SIZE, int)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda images: torch.zeros(len(images), 3), "must have 1024 features each, not shape .2, 3."),
        (lambda images: torch.full((len(images), 1024), torch.nan), "features of a picture are not finite"),
        (lambda images: torch.ones(len(images), 1024), "noise and grey have the same features"),
    ],
)
def test_features_that_cannot_be_right_are_refused_when_the_weights_are_loaded(
    tmp_path, given, monkeypatch, features, message
):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")
    given("dinov2", path)
    load = lambda path: lambda images: published.Features(features(images))  # noqa: E731
    monkeypatch.setitem(WEIGHTS, "dinov2", WEIGHTS["dinov2"]._replace(load=load))
    with pytest.raises(LabError, match=f"model.safetensors: holds no weights of dinov2-vit-l-14: .*{message}"):
        load_published("dinov2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_a_file_of_another_kind_is_named(tmp_path, given, name):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no weights")
    given(name, path)
    with pytest.raises(LabError, match=f"model.safetensors: holds no weights of {name}-vit-l-14"):
        load_published(name)
