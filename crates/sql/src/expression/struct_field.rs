//! Fields of structs: `s.field`, which plans print as `struct_extract(s, 'field')`.

use super::arguments::exactly;
use super::bound::{Bound, total};
use super::scope::{Problem, suggest};
use super::sql_type;
use arrow::array::{Array, AsArray};
use arrow::compute;
use arrow::datatypes::DataType;

/// `struct_extract(s, 'field')`: the value of a field, NULL where there is no struct.
pub(crate) fn struct_extract(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [value, wanted] = exactly(name, arguments)?;
    let DataType::Struct(fields) = &value.data_type else {
        let found = sql_type::name(&value.data_type);
        let problem = Problem::new(format!("{found} has no fields")).found(found);
        return Err(problem.expected("a STRUCT, such as predict(m) of a model without OUTPUT"));
    };
    let text = wanted.value.as_ref().and_then(|value| value.as_string_opt::<i32>()).filter(|text| text.is_valid(0));
    let Some(text) = text else {
        return Err(Problem::new(format!("{name} takes the name of a field")).expected("a text, such as 'label'"));
    };
    let wanted = text.value(0);
    let names = || fields.iter().map(|field| field.name().as_str());
    let at = match values::find_name(names(), wanted) {
        Ok(Some(at)) => at,
        Ok(None) => {
            let problem = Problem::new(format!("the STRUCT has no field \"{wanted}\"")).found(wanted);
            return Err(suggest(problem, wanted, names()));
        }
        Err([one, other]) => {
            let problem = Problem::new(format!("field \"{wanted}\" is ambiguous")).found(wanted);
            return Err(problem.expected(format!("{one} or {other}, as it is written")));
        }
    };
    let data_type = fields[at].data_type().clone();
    total("struct_extract", vec![value], data_type, true, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let field = array.as_struct().column(at);
        if array.null_count() == 0 { Ok(field.clone()) } else { compute::nullif(field, &compute::is_null(&array)?) }
    })
}
