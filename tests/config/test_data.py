"""What a config may say of its data, and what that needs elsewhere."""

import pytest

from lina_lab.config.data import PUBLISHED_DATA, DataConfig
from lina_lab.config.experiment import Experiment, canonical, cell_key
from lina_lab.config.settings import EXTRACTORS, PUBLISHED, ExtractorInput
from lina_lab.design.data_sets import SOURCES
from lina_lab.design.extractors import FEATURES
from lina_lab.evaluation.extractors import LOADERS

FOLDER = {"name": "images", "path": "pictures", "num_classes": 7}
MNIST = {"name": "torchvision", "dataset": "MNIST", "root": "data"}
MAR = {"path": "mar", "channels": 16, "stride": 16, "scaling_factor": 0.2325}


def experiment(data: dict, extractor: str = "emoji-cnn-32", num_samples: int = 333) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x",
            "data": data,
            "model": {"size": "nano", "patch": 4},
            "training": {"steps": 10, "batch_size": 4, "learning_rate": 1e-3},
            "evaluation": {"extractor": extractor, "num_samples": num_samples},
        }
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "emoji", "side": 33}, "side of emoji must be 32 or 64, not 33"),
        ({"name": "digits", "side": 32}, "side of digits must be 8, not 32"),
        (FOLDER | {"side": 15}, "side of images must be at least 16, not 15"),
        ({"name": "images", "num_classes": 7}, "is missing: a folder of images needs path"),
        ({"name": "images", "path": "x"}, "is missing: a folder of images needs num_classes"),
        ({"name": "emoji", "path": "x"}, "path describes a folder of images: emoji has none"),
        ({"name": "digits", "num_classes": 10}, "num_classes describes a folder of images: digits has none"),
        ({"name": "emoji", "digest": "0" * 12}, "digest describes a folder of images: emoji has none"),
        (FOLDER | {"digest": "0123"}, "String should match pattern"),
        (FOLDER | {"num_classes": 0}, "greater than 0"),
        (FOLDER | {"held_out": 0.0}, "greater than 0"),
        ({"name": "emoji", "held_out": 0.2}, "held_out describes a folder of images: emoji has none"),
        ({"name": "digits", "autoencoder": MAR}, "autoencoder is for emoji and images, not for digits"),
        ({"name": "shapes", "autoencoder": MAR}, "autoencoder is for emoji and images, not for shapes"),
        (FOLDER | {"side": 40, "autoencoder": MAR}, "stride must divide the side in pixels: 16 does not divide 40"),
        (FOLDER | {"autoencoder": MAR | {"scaling_factor": 0.0}}, "greater than 0"),
        (FOLDER | {"autoencoder": MAR | {"shift_factor": float("nan")}}, "finite number"),
        ({"name": "torchvision", "dataset": "MNIST"}, "is missing: a set of torchvision needs root"),
        ({"name": "torchvision", "root": "data"}, "is missing: a set of torchvision needs dataset"),
        (MNIST | {"dataset": "Mnist"}, "dataset must be one of MNIST, FashionMNIST, .*CIFAR10, .* not Mnist"),
        (MNIST | {"dataset": 5}, "should be a valid string"),
        (MNIST | {"side": 32}, "side of MNIST must be 28, not 32"),
        (MNIST | {"held_out": 0.2}, "held_out describes a folder of images: torchvision has none"),
        (MNIST | {"autoencoder": MAR}, "autoencoder is for emoji and images, not for torchvision"),
        (MNIST | {"text": {}}, "MNIST has no closed vocabulary to learn: text must be null, or its encoder hf"),
        ({"name": "digits", "root": "data"}, "root describes a set of torchvision: digits has none"),
        ({"name": "emoji", "fit": "pad"}, "fit describes a folder of images: emoji has none"),
        ({"name": "emoji", "labels": "object"}, "labels describes scenes of shapes: emoji has none"),
        ({"name": "shapes", "labels": "object", "text": {}}, "labels: object makes the label the condition"),
        (FOLDER | {"text": {}}, "images has no closed vocabulary to learn: text must be null, or its encoder hf"),
    ],
)
def test_data_that_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DataConfig.model_validate(values)


def test_shapes_come_from_the_source_or_from_the_config_where_only_the_files_tell():
    assert DataConfig.model_validate({"name": "emoji"}).shape[:3] == (3, 32, 10)
    assert DataConfig.model_validate({"name": "emoji", "side": 64}).shape[:3] == (3, 64, 10)
    assert DataConfig.model_validate(FOLDER | {"side": 48}).shape[:3] == (3, 48, 7)
    assert DataConfig.model_validate(MNIST).shape[:3] == (1, 28, 10)
    assert DataConfig.model_validate(MNIST | {"dataset": "CIFAR100"}).shape[:3] == (3, 32, 100)
    assert DataConfig.model_validate({"name": "shapes", "labels": "object"}).shape[:3] == (3, 32, 48)
    text = DataConfig.model_validate({"name": "emoji", "text": {"tokens": 12}}).shape.text
    assert (text.tokens, text.vocabulary) == (12, SOURCES["emoji"].vocabulary)


def test_a_model_sees_latents_and_an_extractor_the_pixels():
    data = FOLDER | {"side": 256, "autoencoder": MAR, "num_classes": 1000}
    assert DataConfig.model_validate(data).shape == PUBLISHED_DATA
    wide = experiment({"name": "emoji", "side": 64, "autoencoder": MAR | {"stride": 8}}, "emoji-cnn-64")
    assert wide.data.shape[:3] == (16, 8, 10)
    assert wide.model.context_tokens == 1  # a quarter of 2 x 2 tokens
    with pytest.raises(ValueError, match="patch must divide the side of emoji through its autoencoder: 4 does not"):
        experiment({"name": "emoji", "side": 32, "autoencoder": MAR})
    with pytest.raises(ValueError, match="extractor of emoji of side 64 must be one of emoji-cnn-64, incep"):
        experiment({"name": "emoji", "side": 64, "autoencoder": MAR | {"stride": 8}}, "emoji-cnn-32")


@pytest.mark.parametrize(
    "change",
    [
        {"held_out": 0.01},
        {"autoencoder": MAR},
        {"autoencoder": MAR | {"scaling_factor": 1.0}},
        {"autoencoder": MAR | {"shift_factor": 0.1}},
        {"autoencoder": MAR | {"path": "other"}},
    ],
)
def test_split_and_autoencoder_are_part_of_the_key(change):
    data = FOLDER | {"side": 64, "autoencoder": MAR | {"digest": "0" * 12}}
    keys = {cell_key(experiment(values, "emoji-cnn-64")) for values in (data, data | change, FOLDER | {"side": 64})}
    assert len(keys) == 3


def test_extractors_are_named_in_one_table():
    assert list(LOADERS) == list(FEATURES) == [*EXTRACTORS, *PUBLISHED]
    for reads in EXTRACTORS.values():
        assert reads.channels == SOURCES[reads.data].channels
        assert reads.side in (SOURCES[reads.data].sides or (32, 64))


def test_an_extractor_must_read_the_images_of_the_data_set():
    experiment({"name": "emoji"})
    experiment({"name": "emoji", "side": 64}, "emoji-cnn-64")
    experiment({"name": "emoji", "side": 64}, "inception")
    experiment(FOLDER)
    experiment(FOLDER, "shapes-cnn-32")
    experiment(MNIST, "inception")
    experiment(MNIST | {"dataset": "CIFAR10"}, "emoji-cnn-32")
    experiment({"name": "shapes", "labels": "object"}, "shapes-cnn-32", num_samples=480)
    refused = [
        (MNIST, "digits-cnn", "extractor of MNIST of side 28 must be .*inception.*, not digits-cnn"),
        (
            MNIST | {"dataset": "STL10"},
            "emoji-cnn-64",
            "extractor of STL10 of side 96 must be one of inception, dinov2, clip, not",
        ),
        ({"name": "shapes", "labels": "object"}, "emoji-cnn-32", "must be one of shapes-cnn-32, shapes-vicreg-32, inc"),
        ({"name": "emoji"}, "digits-cnn", "emoji of side 32 must be one of emoji-cnn-32, inc.*, not digits-cnn"),
        ({"name": "emoji", "side": 64}, "emoji-cnn-32", "must be one of emoji-cnn-64, inception, .*, not emoji-cnn-32"),
        ({"name": "digits"}, "emoji-cnn-32", "digits of side 8 must be one of digits-cnn, digits-vicreg, inc"),
        (
            FOLDER | {"side": 48},
            "emoji-cnn-32",
            "extractor of images of side 48 must be one of inception, dinov2, clip, not",
        ),
    ]
    for data, extractor, message in refused:
        with pytest.raises(ValueError, match=message):
            experiment(data, extractor)


@pytest.mark.parametrize(
    ("also", "message"),
    [
        (["emoji-cnn-32"], "also must name further extractors, each once: emoji-cnn-32 is there already"),
        (["clip", "clip"], "each once: clip is there already"),
        (["clip", "digits-vicreg"], "also of emoji of side 32 must be one of .*, not digits-vicreg"),
    ],
)
def test_further_extractors_read_the_same_images_and_are_named_once(also, message):
    values = experiment({"name": "emoji"}).model_dump()
    values["evaluation"]["also"] = ["clip", "dinov2"]
    found = Experiment.model_validate(values).evaluation
    assert found.extractors == ["emoji-cnn-32", "clip", "dinov2"]
    assert hash(found) == hash(found.model_copy())
    values["evaluation"]["also"] = also
    with pytest.raises(ValueError, match=message):
        Experiment.model_validate(values)


def test_further_extractors_enter_the_key_where_there_are_any():
    values = experiment({"name": "emoji"}).model_dump()
    values["evaluation"]["also"] = ["clip"]
    other = Experiment.model_validate(values)
    assert "also" not in canonical(experiment({"name": "emoji"}))["evaluation"]
    assert canonical(other)["evaluation"]["also"] == ["clip"]


def test_an_extractor_of_the_same_pictures_goes_before_any_that_reads_their_shape(monkeypatch):
    """As some of torchvision's have one: their classes are those of the data set that it names."""
    for name, data in (("digits-cnn", "mnist"), ("emoji-cnn-32", "other")):
        monkeypatch.setitem(EXTRACTORS, name, ExtractorInput(data, channels=1, side=28))
    experiment(MNIST, "digits-cnn")
    experiment(MNIST | {"dataset": "EMNIST-digits"}, "digits-cnn")
    experiment(MNIST | {"dataset": "KMNIST"}, "emoji-cnn-32")
    with pytest.raises(
        ValueError, match=r"extractor of MNIST of side 28 must be one of digits-cnn.*, inception, .*, not emoji"
    ):
        experiment(MNIST, "emoji-cnn-32")


def test_a_patch_must_divide_the_side_of_a_set_of_torchvision():
    assert experiment(MNIST, "inception").model.context_tokens == 12  # a quarter of 7 x 7
    with pytest.raises(ValueError, match="patch must divide the side of USPS: 3 does not divide 16"):
        Experiment.model_validate(
            experiment({"name": "emoji"}).model_dump(exclude={"model"})
            | {"data": MNIST | {"dataset": "USPS"}, "model": {"size": "nano", "patch": 3}}
        )


def test_the_number_of_samples_is_bound_to_the_classes_only_where_they_are_balanced():
    experiment({"name": "emoji"}, num_samples=333)
    with pytest.raises(ValueError, match="must be a multiple of the 10 classes of digits"):
        Experiment.model_validate(
            experiment({"name": "emoji"}).model_dump()
            | {"data": {"name": "digits"}, "evaluation": {"num_samples": 333}}
        )


def test_with_a_reference_every_class_has_equally_many_samples():
    """Of emoji's own proportions any number will do; ADM's statistics are of ImageNet's balanced classes."""

    def against(count, reference="adm.npz", **data):
        evaluation = {"extractor": "emoji-cnn-32", "num_samples": count, "reference": reference}
        values = experiment({"name": "emoji"} | data).model_dump() | {"evaluation": evaluation}
        return Experiment.model_validate(values)

    against(330)
    against(333, reference=None)
    against(333, text={"encoder": "words"})  # prompts are those of the held-out split
    for count, told in ((333, "330 or 340, not 333"), (7, "as 10, not 7"), (10_001, "10,000 or 10,010, not 10,001")):
        with pytest.raises(
            ValueError, match=f"multiple of the 10 classes of emoji, so that labels are balanced, .*{told}"
        ):
            against(count)


def test_side_path_classes_and_digest_enter_the_key_where_they_say_something():
    plain = experiment(FOLDER)
    assert set(canonical(experiment({"name": "emoji"}))["data"]) == {"name", "side"}
    assert set(canonical(plain)["data"]) == {"name", "side", "path", "num_classes"}
    others = [{"path": "other"}, {"num_classes": 8}, {"digest": "0" * 12}, {"digest": "1" * 12}]
    keys = {cell_key(experiment(FOLDER | other)) for other in [{}, *others]}
    assert len(keys) == 5
    sets = [MNIST, MNIST | {"dataset": "KMNIST"}, MNIST | {"root": "other"}]
    assert len({cell_key(experiment(data, "inception")) for data in sets}) == 3
    assert set(canonical(experiment(MNIST, "inception"))["data"]) == {"name", "side", "dataset", "root"}
    assert cell_key(experiment(FOLDER | {"fit": "pad"})) != cell_key(plain)
    objects = {"name": "shapes", "labels": "object"}
    assert set(canonical(experiment(objects, "shapes-cnn-32", 480))["data"]) == {"name", "side", "labels"}
