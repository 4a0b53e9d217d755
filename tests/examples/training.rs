//! The helper that writes a model's metadata, and each framework's calls on docs/models.md, as far as they are light
//! enough to be installed here; the others are skipped by name.

use crate::environment::{environment, printed};
use std::process::Command;

/// CatBoost, PyTorch and Keras are too heavy to be installed for every run of the tests.
const FRAMEWORKS: &str = "lightgbm==4.7.0\nnumpy==2.4.6\nonnx==1.23.2\nonnxmltools==1.16.0\nonnxruntime==1.32.0\n\
                          pandas==3.1.1\npyarrow\npytest==9.2.0\nscikit-learn==1.9.1\nskl2onnx==1.20.0\n\
                          xgboost-cpu==3.2.0\n";

#[test]
fn models_are_trained_and_exported_as_their_page_says() {
    let python = environment("venv-tests-training", FRAMEWORKS);
    let folder = tests::root().join("python");
    let mut tests = Command::new(python);
    tests.args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]).current_dir(&folder);
    let told = printed(tests.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", &folder));
    println!("{told}");
    for framework in ["lightgbm", "scikit_learn", "xgboost"] {
        assert!(!told.contains(&format!("{framework}: No module")), "{framework} was skipped:\n{told}");
    }
    assert!(told.contains(" passed"), "{told}");
}
