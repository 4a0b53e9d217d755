//! Tables of a REST catalog, by what jobs are made of: who may write, what is kept, and files of every size.

use access::Secret;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_iceberg::{RestSettings, SNAPSHOT, TableClaim, TableOptions, TableWriter, Warehouse};
use object_stores::S3Settings;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::catalogs::{
    ACCESS_KEY, Proxy, REGION, Request, RestServer, S3Server, SECRET_KEY, Treatment, can_start, prepared, rows,
};
use tests::machine::{SECOND, now, pause};
use tests::{Chance, all_rows};

const TABLE: &str = "lake.t";

/// The catalog as a process sees it that keeps its locks in this folder.
pub fn warehouse(catalog: &RestServer, s3: Option<&S3Server>, folder: &Path) -> Warehouse {
    let mut settings = RestSettings::new(catalog.uri());
    if let Some(s3) = s3 {
        settings.stores.s3 = S3Settings {
            endpoint: Some(s3.endpoint()),
            region: Some(REGION.to_owned()),
            path_style: Some(true),
            access_key: Some(Secret::Text(ACCESS_KEY.to_owned())),
            secret_key: Some(Secret::Text(SECRET_KEY.to_owned())),
            session_token: None,
        };
    }
    Warehouse::open_rest(settings, folder).unwrap()
}

fn commit(claim: &TableClaim, number: usize) {
    claim.committer().commit(vec![prepared(claim, &rows(0, number), number as u64 + 1).unwrap()]).unwrap();
}

fn snapshots(catalog: &RestServer) -> usize {
    let (status, told) = catalog.request("GET", "/v1/namespaces/lake/tables/t", "");
    assert_eq!(status, 200, "{told}");
    let table: Value = serde_json::from_str(&told).unwrap();
    table["metadata"]["snapshots"].as_array().unwrap().len()
}

#[test]
fn an_earlier_run_commits_nothing_after_a_later_one_has_begun() {
    if !can_start() {
        return;
    }
    let (catalog, machines) = (RestServer::start(None), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let claim = |machine: usize| {
        let claim = warehouse(&catalog, None, machines[machine].path()).claim(TABLE, "s").unwrap();
        claim.create(&rows(0, 0).schema(), &TableOptions::default()).unwrap();
        claim
    };
    let older = claim(0);
    commit(&older, 0);
    let late = prepared(&older, &rows(0, 1), 2).unwrap();
    let younger = claim(1);
    let error = older.committer().commit(vec![late]).unwrap_err().chain();
    assert!(error.contains("fenced: epoch 2 of sink \"s\" has taken over"), "{error}");
    commit(&younger, 2);
    assert_eq!(younger.rows().unwrap(), 2);
}

#[test]
fn snapshots_expire_but_for_those_with_a_tag() {
    if !can_start() {
        return;
    }
    let (catalog, folder) = (RestServer::start(None), tempfile::tempdir().unwrap());
    let warehouse = warehouse(&catalog, None, folder.path());
    let claim = warehouse.claim(TABLE, "s").unwrap();
    let properties = [("history.expire.max-snapshot-age-ms", "1"), ("history.expire.min-snapshots-to-keep", "2")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    claim.create(&rows(0, 0).schema(), &TableOptions { properties, ..TableOptions::default() }).unwrap();
    commit(&claim, 0);
    let first = warehouse.read(TABLE).unwrap().property(SNAPSHOT).unwrap().parse().unwrap();
    warehouse.hold(TABLE, "held", first).unwrap();
    (1..50).for_each(|number| commit(&claim, number));
    assert!(snapshots(&catalog) < 40, "{} snapshots", snapshots(&catalog));
    assert_eq!(warehouse.read_at(TABLE, first).unwrap().files().len(), 1);
    assert_eq!(warehouse.rows(TABLE).unwrap(), 50);
    assert_eq!(all_rows(&warehouse, TABLE).iter().map(RecordBatch::num_rows).sum::<usize>(), 50);
    warehouse.release(TABLE, "held").unwrap();
    (50..90).for_each(|number| commit(&claim, number));
    let error = warehouse.read_at(TABLE, first).err().unwrap().to_string();
    assert!(error.contains("has no snapshot"), "{error}");
}

#[test]
fn a_file_of_several_parts_is_whole_in_a_store() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let (catalog, folder) = (RestServer::start(Some(&s3)), tempfile::tempdir().unwrap());
    let warehouse = warehouse(&catalog, Some(&s3), folder.path());
    let claim = warehouse.claim(TABLE, "s").unwrap();
    let mut chance = Chance::new(1);
    let numbers: Vec<i64> = (0..5_000_000).map(|_| chance.number() as i64).collect();
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
    let batch = RecordBatch::try_from_iter_with_nullable([("number", column, true)]).unwrap();
    claim.create(&batch.schema(), &TableOptions::default()).unwrap();
    claim.committer().commit(vec![prepared(&claim, &batch, 1).unwrap()]).unwrap();
    let files = warehouse.read(TABLE).unwrap();
    let bytes = files.files()[0].bytes;
    assert!(files.files().len() == 1 && bytes > 32 << 20, "{bytes} bytes");
    let read = all_rows(&warehouse, TABLE);
    let read = read.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(read.eq(numbers), "the rows are others");
}

/// What lies in files is read anew for whoever holds a table already.
#[test]
fn a_key_that_is_replaced_in_its_file_opens_the_store_for_a_writer_that_is_there() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let (catalog, folder) = (RestServer::start(Some(&s3)), tempfile::tempdir().unwrap());
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET_KEY).unwrap();
    let mut settings = RestSettings::new(catalog.uri());
    settings.stores.s3 = S3Settings {
        endpoint: Some(s3.endpoint()),
        access_key: Some(Secret::Text(ACCESS_KEY.to_owned())),
        secret_key: Some(Secret::File(secret.clone())),
        ..S3Settings::default()
    };
    let claim = Warehouse::open_rest(settings, folder.path()).unwrap().claim(TABLE, "sink").unwrap();
    claim.create(&rows(0, 0).schema(), &TableOptions::default()).unwrap();
    let write = |writer: &mut TableWriter, number: usize| {
        writer.write_rows(&rows(0, number))?;
        writer.finish(Some(number as u64 + 1))
    };
    let mut writer = claim.writer(0).unwrap();
    std::fs::write(&secret, "CANARY-of-yesterday").unwrap();
    let error = write(&mut writer, 0).unwrap_err().chain();
    assert!(error.contains("the store does not know these keys") && !error.contains("CANARY"), "{error}");
    let mut writer = claim.writer(0).unwrap();
    std::fs::write(&secret, SECRET_KEY).unwrap();
    let committable = write(&mut writer, 1).unwrap().unwrap();
    claim.committer().commit(vec![committable]).unwrap();
    assert_eq!(claim.rows().unwrap(), 1);
}

/// A catalog that gives keys for a second and a half, which are right once `is_right` is.
fn with_keys_that_end(catalog: &RestServer, s3: &S3Server, is_right: &Arc<AtomicBool>) -> Proxy {
    let (endpoint, is_right) = (s3.endpoint(), is_right.clone());
    Proxy::start(catalog.port, move |request: &Request| {
        if !request.path.contains("/tables") || request.is_commit() {
            return Treatment::Pass;
        }
        let secret = if is_right.load(Ordering::SeqCst) { SECRET_KEY } else { "CANARY-of-yesterday" };
        let ends_ms = now() / 1000 + 1500;
        let credentials = format!(
            r#"{{"storage-credentials":[{{"prefix":"s3://lake/","config":{{"s3.endpoint":"{endpoint}","s3.region":"{REGION}",
               "s3.access-key-id":"{ACCESS_KEY}","s3.secret-access-key":"{secret}",
               "s3.session-token-expires-at-ms":"{ends_ms}"}}}}],"#
        );
        Treatment::Change(Box::new(move |body: String| match body.starts_with(r#"{"metadata-location""#) {
            true => body.replacen('{', &credentials, 1),
            false => body,
        }))
    })
}

#[test]
fn keys_of_a_catalog_that_end_are_renewed_for_a_writer_that_is_there() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    for waits in [false, true] {
        let (catalog, folder) = (RestServer::start(Some(&s3)), tempfile::tempdir().unwrap());
        let is_right = Arc::new(AtomicBool::new(false));
        let proxy = with_keys_that_end(&catalog, &s3, &is_right);
        let warehouse = Warehouse::open_rest(RestSettings::new(proxy.uri()), folder.path()).unwrap();
        let claim = warehouse.claim(TABLE, "sink").unwrap();
        claim.create(&rows(0, 0).schema(), &TableOptions::default()).unwrap();
        let mut writer = claim.writer(0).unwrap();
        writer.write_rows(&rows(0, 0)).unwrap();
        is_right.store(true, Ordering::SeqCst);
        if waits {
            // Nobody asks the catalog for anything until the keys end, and the writer's file has to get to the store.
            pause(2 * SECOND);
        } else {
            // Whoever else loads the table gets keys for all.
            assert_eq!(claim.rows().unwrap(), 0);
        }
        let committable = writer.finish(Some(1)).unwrap().expect("there are rows");
        claim.committer().commit(vec![committable]).unwrap();
        assert_eq!(claim.rows().unwrap(), 1);
    }
}

/// What a catalog knows of the table, which is not its name.
fn uuid_of(catalog: &RestServer) -> String {
    let (_, told) = catalog.request("GET", "/v1/namespaces/lake/tables/t", "");
    let table: Value = serde_json::from_str(&told).unwrap();
    table["metadata"]["table-uuid"].as_str().unwrap().to_owned()
}

#[test]
fn keys_of_a_table_that_gave_way_are_renewed_for_those_who_read_it() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let (catalog, folder) = (RestServer::start(Some(&s3)), tempfile::tempdir().unwrap());
    let claim = |number: usize, is_new: bool| {
        let claim = warehouse(&catalog, Some(&s3), folder.path()).claim(TABLE, "sink").unwrap();
        let (schema, options) = (rows(0, 0).schema(), TableOptions::default());
        if is_new {
            claim.replace(&schema, &options).unwrap();
        } else {
            claim.create(&schema, &options).unwrap();
        }
        commit(&claim, number);
        claim
    };
    drop(claim(0, false));
    let (old, endpoint) = (uuid_of(&catalog), s3.endpoint());
    let of_old = old.clone();
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        if !request.path.contains("/tables") || request.is_commit() {
            return Treatment::Pass;
        }
        let (of_old, endpoint) = (of_old.clone(), endpoint.clone());
        Treatment::Change(Box::new(move |body: String| {
            let secret = if body.contains(&of_old) { SECRET_KEY } else { "CANARY-of-another" };
            let ends_ms = now() / 1000 + 1500;
            let credentials = format!(
                r#"{{"storage-credentials":[{{"prefix":"s3://lake/","config":{{"s3.endpoint":"{endpoint}",
                   "s3.region":"{REGION}","s3.access-key-id":"{ACCESS_KEY}","s3.secret-access-key":"{secret}",
                   "s3.session-token-expires-at-ms":"{ends_ms}"}}}}],"#
            );
            if body.starts_with(r#"{"metadata-location""#) { body.replacen('{', &credentials, 1) } else { body }
        }))
    });
    let reader = Warehouse::open_rest(RestSettings::new(proxy.uri()), folder.path()).unwrap();
    let files = reader.read(TABLE).unwrap();
    let new = claim(1, true);
    TableClaim::take_places([&new]).unwrap();
    assert_ne!(uuid_of(&catalog), old);
    pause(2 * SECOND);
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    let read = files.open(0, files.files()[0].all_groups(), &names, 100).unwrap();
    assert_eq!(read.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 1);
}
