//! Schemas of Avro, as they are registered: JSON with types that have names.

use dataflow::{Error, Result};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The longest schema that is read.
const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// The most types that a schema may have.
const TYPES_MAX: usize = 100_000;

/// A schema that messages were written with.
///
/// Types are numbered, so that a record may have itself as a field.
#[derive(Clone, Debug)]
pub struct AvroSchema {
    pub(super) types: Vec<Type>,
    pub(super) root: usize,
}

/// What an instant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A type; others in it are numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// A name that is not yet known what it is.
    Pending,
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, usize)>),
    /// Days since 1970.
    Date,
    /// Microseconds of a day: how many of them a unit of the value is.
    Time(i64),
    /// An instant.
    Instant(Unit),
    /// A number with so many digits after its point; in so many bytes, where their number is fixed.
    /// There may be more digits than a decimal of ours can have.
    Decimal {
        scale: u32,
        fixed: Option<usize>,
    },
}

impl AvroSchema {
    /// Reads a schema; an error of kind `Invalid` says what in it is not known.
    pub fn parse(text: &[u8]) -> Result<AvroSchema> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(wrong(&format!("it has {} bytes, and at most {SCHEMA_BYTES_MAX} are read", text.len())));
        }
        let json: Value = serde_json::from_slice(text).map_err(|error| wrong(&error.to_string()))?;
        let mut parser = Parser { types: Vec::new(), named: HashMap::new() };
        let root = parser.type_of(&json, "")?;
        match parser.types[root] {
            Type::Record(_) => Ok(AvroSchema { types: parser.types, root }),
            _ => Err(wrong("it is no record, and messages have to be records")),
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("a schema of Avro cannot be read: {what}"))
}

struct Parser {
    types: Vec<Type>,
    named: HashMap<String, usize>,
}

impl Parser {
    fn add(&mut self, of: Type) -> Result<usize> {
        if self.types.len() >= TYPES_MAX {
            return Err(wrong(&format!("it has more than {TYPES_MAX} types")));
        }
        self.types.push(of);
        Ok(self.types.len() - 1)
    }

    fn type_of(&mut self, json: &Value, namespace: &str) -> Result<usize> {
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let of = branches.iter().map(|branch| self.type_of(branch, namespace)).collect::<Result<Vec<_>>>()?;
                self.add(Type::Union(of))
            }
            Value::Object(object) => self.of_object(object, namespace),
            other => Err(wrong(&format!("{other} is no type"))),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<usize> {
        if let Some(primitive) = primitive(name) {
            return self.add(primitive);
        }
        let full = full_name(name, namespace);
        let known = self.named.get(&full).or_else(|| self.named.get(name));
        known.copied().ok_or_else(|| wrong(&format!("type \"{name}\" is not known")))
    }

    fn of_object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            // The type may be written once more around itself.
            Some(inner) => return self.type_of(inner, namespace),
            None => return Err(wrong("a type has no \"type\"")),
        };
        match kind {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let symbols = object.get("symbols").and_then(Value::as_array);
                let symbols = symbols.map(|all| all.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect());
                let of = Type::Enum(symbols.ok_or_else(|| wrong("an enum has no \"symbols\""))?);
                self.add_named(of, object, namespace)
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| wrong("a fixed has no \"size\""))?;
                let of = decimal(object, Some(size)).unwrap_or(Type::Fixed(size));
                self.add_named(of, object, namespace)
            }
            "array" => {
                let of = self.type_of(object.get("items").unwrap_or(&Value::Null), namespace)?;
                self.add(Type::Array(of))
            }
            "map" => {
                let of = self.type_of(object.get("values").unwrap_or(&Value::Null), namespace)?;
                self.add(Type::Map(of))
            }
            name => match logical(name, object) {
                Some(of) => self.add(of),
                None => self.by_name(name, namespace),
            },
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize> {
        // It has its number first, for fields that are it again.
        let record = self.add_named(Type::Pending, object, namespace)?;
        let inner = name_of(object, namespace)?.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let fields = object.get("fields").and_then(Value::as_array);
        let mut read = Vec::new();
        for field in fields.ok_or_else(|| wrong("a record has no \"fields\""))? {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| wrong("a field has no \"name\""))?.to_owned();
            let of = self.type_of(field.get("type").unwrap_or(&Value::Null), &inner)?;
            read.push((name, of));
        }
        self.types[record] = Type::Record(read);
        Ok(record)
    }

    fn add_named(&mut self, of: Type, object: &Map<String, Value>, namespace: &str) -> Result<usize> {
        let (name, number) = (name_of(object, namespace)?, self.add(of)?);
        self.named.insert(name, number);
        Ok(number)
    }
}

fn name_of(object: &Map<String, Value>, namespace: &str) -> Result<String> {
    let name = object.get("name").and_then(Value::as_str).ok_or_else(|| wrong("a record has no \"name\""))?;
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Ok(full_name(name, namespace))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// A type that says what its value means. One that is not known, or does not fit, is the type without that.
fn logical(name: &str, object: &Map<String, Value>) -> Option<Type> {
    let logical = object.get("logicalType").and_then(Value::as_str).unwrap_or_default();
    match (name, logical.strip_prefix("local-").unwrap_or(logical)) {
        ("int", "date") => Some(Type::Date),
        ("int", "time-millis") => Some(Type::Time(1000)),
        ("long", "time-micros") => Some(Type::Time(1)),
        ("long", "timestamp-millis") => Some(Type::Instant(Unit::Millis)),
        ("long", "timestamp-micros") => Some(Type::Instant(Unit::Micros)),
        ("long", "timestamp-nanos") => Some(Type::Instant(Unit::Nanos)),
        ("bytes", "decimal") => decimal(object, None),
        _ => None,
    }
}

fn decimal(object: &Map<String, Value>, fixed: Option<usize>) -> Option<Type> {
    if object.get("logicalType").and_then(Value::as_str) != Some("decimal") {
        return None;
    }
    let scale = object.get("scale").map_or(Some(0), Value::as_u64)?;
    Some(Type::Decimal { scale: u32::try_from(scale).unwrap_or(u32::MAX), fixed })
}
