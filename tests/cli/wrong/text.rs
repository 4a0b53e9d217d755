//! Wrong SQL in a whole project, with its model and its data.

use super::{Wrong, all};
use crate::folder::Folder;

const SQL: &str = "pipelines/spam.sql";

/// The project of `init` with one text of its SQL changed.
fn with(from: &str, to: &str) -> Folder {
    let folder = Folder::demo();
    folder.replace(SQL, from, to);
    folder
}

/// The project of `init` with the bytes of its model changed.
fn with_model(change: fn(Vec<u8>) -> Vec<u8>) -> Folder {
    let folder = Folder::demo();
    let bytes = std::fs::read(folder.path().join("models/spam.onnx")).expect("the model is there");
    folder.write_bytes("models/spam.onnx", &change(bytes));
    folder
}

/// A model whose sample is said to score something else.
fn other_score(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.windows(12).position(|part| part == b"\"scores\": [0").expect("the model has samples");
    bytes[at + 13] = if bytes[at + 13] == b'9' { b'1' } else { b'9' };
    bytes
}

pub const WRONG: &[Wrong] = &[
    Wrong { name: "keyword_typo", before: || with("CREATE VIEW scored", "CREATE VEIW scored"), command: &["check"] },
    Wrong {
        name: "column_typo",
        before: || with("DISTINCT recipient_id", "DISTINCT recipent_id"),
        command: &["check"],
    },
    Wrong { name: "stream_typo", before: || with("FROM messages\n", "FROM mesages\n"), command: &["run"] },
    Wrong {
        name: "view_typo",
        before: || with("* FROM sender_features;", "* FROM sender_feature;"),
        command: &["run"],
    },
    Wrong { name: "model_typo", before: || with("predict(spam)", "predict(spma)"), command: &["run"] },
    Wrong { name: "function_typo", before: || with("avg(", "averag("), command: &["check"] },
    Wrong { name: "wrong_type", before: || with("avg(has_link::INT)", "avg(message_id)"), command: &["check"] },
    Wrong { name: "wrong_comparison", before: || with("score > 0.9", "score > 'high'"), command: &["run"] },
    Wrong {
        name: "wrong_time_column",
        before: || with("WATERMARK FOR sent_at AS sent_at", "WATERMARK FOR text_len AS text_len"),
        command: &["run"],
    },
    Wrong {
        name: "no_watermark",
        before: || with(",\n  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND", ""),
        command: &["run"],
    },
    Wrong {
        name: "group_by",
        before: || {
            with(
                "SELECT * FROM sender_features;",
                "SELECT sender_id, count(*) AS n FROM sender_features GROUP BY sender_id;",
            )
        },
        command: &["run"],
    },
    Wrong { name: "now", before: || with("sent_at, text_len", "now() - sent_at AS age, text_len"), command: &["run"] },
    Wrong {
        name: "two_writers",
        before: || with("CREATE DECISION", "INSERT INTO lake.sender_features SELECT * FROM scored;\n\nCREATE DECISION"),
        command: &["run"],
    },
    Wrong { name: "two_errors", before: || with("text_len, has_link,\n", "text_lne, has_lnk,\n"), command: &["check"] },
    Wrong {
        name: "errors_as_json",
        before: || with("DISTINCT recipient_id", "DISTINCT recipent_id"),
        command: &["check", "--json"],
    },
    Wrong { name: "query_column_typo", before: Folder::demo, command: &["query", "SELECT sender FROM messages"] },
    Wrong {
        name: "query_outside_groups",
        before: Folder::demo,
        command: &["query", "SELECT sender_id, text_len FROM messages GROUP BY sender_id"],
    },
    Wrong {
        name: "query_unknown_aggregate",
        before: Folder::demo,
        command: &["query", "SELECT sender_id, bool_or(text_len > 3) AS long FROM messages GROUP BY sender_id"],
    },
    Wrong { name: "feature_name", before: || with("INPUTS (msgs_1m,", "INPUTS (msgs_1min,"), command: &["run"] },
    Wrong {
        name: "feature_order",
        before: || with("INPUTS (msgs_1m, msgs_1h,", "INPUTS (msgs_1h, msgs_1m,"),
        command: &["run"],
    },
    Wrong {
        name: "feature_count",
        before: || with(", link_share_1h, text_len)", ", link_share_1h)"),
        command: &["run"],
    },
    Wrong {
        name: "feature_type",
        before: || with("link_share_1h, text_len)", "link_share_1h, message_id)"),
        command: &["run"],
    },
    Wrong { name: "model_class", before: || with("probability OF 1", "probability OF 2"), command: &["run"] },
    Wrong { name: "model_missing", before: || with("models/spam.onnx", "models/spma.onnx"), command: &["run"] },
    Wrong {
        name: "model_cut_short",
        before: || with_model(|bytes| bytes[..bytes.len() / 2].to_vec()),
        command: &["run"],
    },
    Wrong { name: "model_is_text", before: || with_model(|_| b"not a model at all\n".to_vec()), command: &["run"] },
    Wrong { name: "model_scores_differ", before: || with_model(other_score), command: &["run"] },
];

#[test]
fn wrong_text() {
    all(WRONG);
}
