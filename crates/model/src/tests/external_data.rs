//! Weights beside a model: they are read from its own folder, and from nowhere else.

use super::exports::fixtures;
use crate::onnx::{ModelProto, StringStringEntryProto, TensorProto};
use crate::{Model, ModelFile, OutputSelector};
use arrow::array::ArrayRef;
use dataflow::Scorer;
use prost::Message;
use std::path::{Path, PathBuf};

const NAME: &str = "torch_mlp";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports")
}

fn scores(path: &Path) -> ArrayRef {
    let fixture = fixtures().into_iter().find(|fixture| fixture.name == NAME).unwrap();
    let model = Model::load("net", path).unwrap();
    model.select(&OutputSelector::Only).unwrap().score(&fixture.columns()).unwrap()
}

#[test]
fn a_model_with_its_weights_beside_it_scores_as_the_one_that_holds_them() {
    let apart = folder().join("external/torch_mlp.onnx");
    assert_eq!(*scores(&apart), *scores(&folder().join("torch_mlp.onnx")));
    let whole = ModelFile::read("net", &apart).unwrap();
    // What is tried, pinned and copied is one file.
    let again = ModelFile::from_bytes("net", whole.bytes().to_vec()).unwrap();
    assert_eq!(again.version(), whole.version());
    Model::from_file(again).unwrap();
}

/// A folder with the model and its weights, of which a test changes something.
struct Scene {
    folder: tempfile::TempDir,
    model: ModelProto,
}

impl Scene {
    fn new() -> Scene {
        let (folder, from) = (tempfile::tempdir().unwrap(), folder().join("external"));
        std::fs::copy(from.join("torch_mlp.onnx.data"), folder.path().join("torch_mlp.onnx.data")).unwrap();
        let bytes = std::fs::read(from.join("torch_mlp.onnx")).unwrap();
        Scene { folder, model: ModelProto::decode(bytes.as_slice()).unwrap() }
    }

    /// The first weights that lie beside the model.
    fn tensor(&mut self) -> &mut TensorProto {
        let tensors = &mut self.model.graph.as_mut().unwrap().initializer;
        tensors.iter_mut().find(|tensor| tensor.data_location == 1).unwrap()
    }

    fn set(&mut self, key: &str, value: &str) {
        let entries = &mut self.tensor().external_data;
        entries.retain(|entry| entry.key != key);
        entries.push(StringStringEntryProto { key: key.into(), value: value.into() });
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("torch_mlp.onnx.data")
    }

    fn read(&self) -> Result<ModelFile, String> {
        let path = self.folder.path().join("torch_mlp.onnx");
        std::fs::write(&path, self.model.encode_to_vec()).unwrap();
        ModelFile::read("net", &path).map_err(|error| error.to_string())
    }

    fn refused(&self) -> String {
        self.read().err().expect("the model is refused")
    }
}

#[test]
fn a_location_out_of_the_folder_is_refused() {
    for location in ["../torch_mlp.onnx.data", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "torch_mlp.onnx.data\0x"] {
        let mut scene = Scene::new();
        scene.set("location", location);
        let error = scene.refused();
        assert!(error.contains("expected the name of a file in the model's own folder"), "{location:?}: {error}");
    }
}

#[test]
fn a_link_and_what_is_no_file_are_refused() {
    let scene = Scene::new();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(scene.data(), elsewhere.path()).unwrap();
    std::fs::remove_file(scene.data()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), scene.data()).unwrap();
    assert!(scene.refused().contains("which is a link or no file"), "{}", scene.refused());
    std::fs::remove_file(scene.data()).unwrap();
    std::fs::create_dir(scene.data()).unwrap();
    assert!(scene.refused().contains("which is a link or no file"), "{}", scene.refused());
    std::fs::remove_dir(scene.data()).unwrap();
    let error = scene.refused();
    assert!(error.contains("cannot be opened beside the model") && error.contains("external_data=False"), "{error}");
}

#[test]
fn a_claim_beyond_the_file_is_refused() {
    for (key, value) in [
        ("length", "1000000000000"),
        ("length", "18446744073709551615"),
        ("offset", "18446744073709551615"),
        ("offset", "18446744073709551000"),
        ("offset", "9223372036854775807"),
        ("offset", "1000000"),
    ] {
        let mut scene = Scene::new();
        scene.set(key, value);
        let error = scene.refused();
        assert!(error.contains("the two files are not of one export"), "{key} {value}: {error}");
    }
    for value in ["-1", "x", "18446744073709551616", "1e3", ""] {
        let mut scene = Scene::new();
        scene.set("offset", value);
        assert!(scene.refused().contains("expected a number of bytes"), "{value:?}: {}", scene.refused());
    }
}

#[test]
fn many_tensors_of_one_large_file_are_bounded() {
    let mut scene = Scene::new();
    // A file with nothing in it but its length.
    std::fs::File::options().write(true).open(scene.data()).unwrap().set_len(200 << 20).unwrap();
    scene.tensor().external_data.retain(|entry| entry.key == "location");
    let large = scene.tensor().clone();
    scene.model.graph.as_mut().unwrap().initializer.extend(std::iter::repeat_n(large, 1000));
    assert!(scene.refused().contains("are larger than 256 MiB"), "{}", scene.refused());
}

#[test]
fn weights_of_another_size_than_their_tensor_are_refused_and_other_bytes_are_another_model() {
    let mut scene = Scene::new();
    scene.set("length", "8");
    let error = Model::from_file(scene.read().unwrap()).unwrap_err().to_string();
    assert!(error.contains("for 2 numbers"), "{error}");
    let scene = Scene::new();
    let before = scene.read().unwrap();
    let mut data = std::fs::read(scene.data()).unwrap();
    data[0] ^= 1;
    std::fs::write(scene.data(), data).unwrap();
    assert_ne!(scene.read().unwrap().version(), before.version());
}
