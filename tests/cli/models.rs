//! `model check`: what it says of a model's file.

use crate::folder::Folder;

#[test]
fn check_takes_the_model_of_a_new_project_and_names_the_output_of_its_sample_rows() {
    let folder = Folder::demo();
    let checked = folder.done(&["model", "check", "models/spam.onnx"]);
    assert!(checked.out.contains("CREATE MODEL spam FROM 'models/spam.onnx'\n"), "{}", checked.out);
    assert!(checked.out.ends_with("\n  OUTPUT probability OF 1;\n"), "{}", checked.out);
    let told: serde_json::Value =
        serde_json::from_str(&folder.done(&["model", "check", "models/spam.onnx", "--json"]).out).unwrap();
    assert_eq!(told["outputs"], serde_json::json!(["label", "probability OF 0", "probability OF 1"]), "{told}");
}

#[test]
fn check_refuses_a_model_none_of_whose_outputs_gives_the_scores_of_its_sample_rows() {
    let folder = Folder::demo();
    let mut bytes = std::fs::read(folder.path().join("models/spam.onnx")).unwrap();
    let text = b"\"scores\": [0.";
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap() + text.len();
    bytes[at] = if bytes[at] < b'5' { b'9' } else { b'0' };
    folder.write_bytes("models/spam.onnx", &bytes);
    let checked = folder.run(&["model", "check", "models/spam.onnx"]);
    assert!(checked.code == 1 && checked.err.contains("sample row 0 scores"), "{}", checked.err);
}
