//! The operators that a model may consist of. Each reads its node, checks what it is given, and adds what it takes to
//! calculate it to the program.

mod activation;
mod arithmetic;
mod cast;
mod classes;
mod convolution;
mod elementwise;
mod encode;
mod ensemble;
mod gather;
mod layout;
mod linear;
mod normalization;
mod operation;
mod prepare;
mod recurrent;
mod reduce;
mod select;
mod shape;
mod svm;
mod word_counts;
mod words;
mod zip_map;

pub use operation::Operation;

use crate::builder::Builder;
use crate::node::Checked;
use crate::value::Value;

/// What an operator makes of a node: the values of its outputs.
pub type Operator = fn(&mut Builder, &Operation) -> Checked<Vec<Value>>;

/// The operators of ai.onnx.ml.
const ML: &[(&str, Operator)] = &[
    ("ArrayFeatureExtractor", gather::array_feature_extractor),
    ("Binarizer", prepare::binarizer),
    ("CategoryMapper", encode::category_mapper),
    ("FeatureVectorizer", prepare::feature_vectorizer),
    ("Imputer", prepare::imputer),
    ("LabelEncoder", encode::label_encoder),
    ("LinearClassifier", linear::classifier),
    ("LinearRegressor", linear::regressor),
    ("Normalizer", prepare::normalizer),
    ("OneHotEncoder", encode::one_hot),
    ("SVMClassifier", svm::classifier),
    ("SVMRegressor", svm::regressor),
    ("Scaler", prepare::scaler),
    ("TreeEnsemble", ensemble::ensemble),
    ("TreeEnsembleClassifier", ensemble::classifier),
    ("TreeEnsembleRegressor", ensemble::regressor),
    ("ZipMap", zip_map::zip_map),
];

/// The operator of com.microsoft that the exporter of scikit-learn writes.
const MICROSOFT: &[(&str, Operator)] = &[("Tokenizer", words::tokenizer)];

/// The operators of ai.onnx.
const PLAIN: &[(&str, Operator)] = &[
    ("Abs", arithmetic::unary),
    ("Add", arithmetic::binary),
    ("And", arithmetic::binary),
    ("ArgMax", select::arg),
    ("ArgMin", select::arg),
    ("AveragePool", convolution::pool),
    ("BatchNormalization", normalization::batch_normalization),
    ("Cast", cast::cast),
    ("Ceil", arithmetic::unary),
    ("Celu", activation::activation),
    ("Clip", arithmetic::clip),
    ("Concat", layout::concat),
    ("Constant", shape::constant),
    ("ConstantOfShape", shape::constant_of_shape),
    ("Conv", convolution::conv),
    ("CumSum", reduce::cumulative_sum),
    ("Div", arithmetic::binary),
    ("Dropout", layout::identity),
    ("Elu", activation::activation),
    ("Equal", arithmetic::compare),
    ("Erf", arithmetic::unary),
    ("Exp", arithmetic::unary),
    ("Expand", shape::expand),
    ("Flatten", shape::flatten),
    ("Floor", arithmetic::unary),
    ("GRU", recurrent::gru),
    ("Gather", gather::gather),
    ("GatherElements", gather::gather_elements),
    ("Gelu", activation::gelu),
    ("Gemm", linear::gemm),
    ("GlobalAveragePool", convolution::global_average_pool),
    ("Greater", arithmetic::compare),
    ("GreaterOrEqual", arithmetic::compare),
    ("HardSigmoid", activation::activation),
    ("HardSwish", activation::activation),
    ("Identity", layout::identity),
    ("InstanceNormalization", normalization::instance_normalization),
    ("IsInf", arithmetic::is_infinite),
    ("IsNaN", arithmetic::is_nan),
    ("LSTM", recurrent::lstm),
    ("LayerNormalization", normalization::layer_normalization),
    ("LeakyRelu", activation::activation),
    ("Less", arithmetic::compare),
    ("LessOrEqual", arithmetic::compare),
    ("Log", arithmetic::unary),
    ("LogSoftmax", reduce::softmax),
    ("LpNormalization", reduce::lp_normalization),
    ("MatMul", linear::mat_mul),
    ("Max", arithmetic::variadic),
    ("MaxPool", convolution::pool),
    ("Mean", arithmetic::variadic),
    ("Min", arithmetic::variadic),
    ("Mish", activation::activation),
    ("Mul", arithmetic::binary),
    ("Neg", arithmetic::unary),
    ("Not", arithmetic::unary),
    ("Or", arithmetic::binary),
    ("PRelu", activation::p_relu),
    ("Pow", arithmetic::binary),
    ("Reciprocal", arithmetic::unary),
    ("ReduceL1", reduce::reduce),
    ("ReduceL2", reduce::reduce),
    ("ReduceLogSum", reduce::reduce),
    ("ReduceLogSumExp", reduce::reduce),
    ("ReduceMax", reduce::reduce),
    ("ReduceMean", reduce::reduce),
    ("ReduceMin", reduce::reduce),
    ("ReduceProd", reduce::reduce),
    ("ReduceSum", reduce::reduce),
    ("ReduceSumSquare", reduce::reduce),
    ("Relu", arithmetic::unary),
    ("Reshape", shape::reshape),
    ("Round", arithmetic::unary),
    ("Selu", activation::activation),
    ("Shape", shape::shape),
    ("Sigmoid", arithmetic::unary),
    ("Sign", arithmetic::unary),
    ("Slice", layout::slice),
    ("Softmax", reduce::softmax),
    ("Softplus", arithmetic::unary),
    ("Split", layout::split),
    ("Sqrt", arithmetic::unary),
    ("Squeeze", shape::squeeze),
    ("StringNormalizer", words::string_normalizer),
    ("Sub", arithmetic::binary),
    ("Sum", arithmetic::variadic),
    ("Tanh", arithmetic::unary),
    ("TfIdfVectorizer", word_counts::tf_idf),
    ("TopK", select::top_k),
    ("Transpose", layout::transpose),
    ("Unsqueeze", shape::unsqueeze),
    ("Where", arithmetic::select),
    ("Xor", arithmetic::binary),
];

/// The operator of a name, if it is one that a model may consist of.
pub fn find(domain: &str, name: &str) -> Option<Operator> {
    let table = match domain {
        "" | "ai.onnx" => PLAIN,
        "ai.onnx.ml" => ML,
        "com.microsoft" => MICROSOFT,
        _ => return None,
    };
    table.binary_search_by_key(&name, |(known, _)| *known).ok().map(|at| table[at].1)
}

/// The names of all operators of ai.onnx.ml, as messages list them.
pub fn ml_names() -> String {
    ML.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{MICROSOFT, ML, PLAIN};

    #[test]
    fn the_tables_are_sorted_so_that_names_are_found() {
        for table in [ML, MICROSOFT, PLAIN] {
            assert!(table.is_sorted_by_key(|(name, _)| *name));
        }
    }
}
