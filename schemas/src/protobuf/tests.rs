//! What the parts do together.

use std::sync::LazyLock;

use crate::{Source, protobuf::ProtobufSchema};

mod compile;
mod encode;
mod generated;
mod read;

/// A schema of all kinds of fields, in proto3.
const ALL: &str = r#"
    syntax = "proto3";
    package test;
    import "google/protobuf/any.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/empty.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";

    enum Colour { NONE = 0; RED = 1; GREEN = 2; BLUE = -3; }

    message All {
      double a_double = 1;
      float a_float = 2;
      int32 an_int32 = 3;
      int64 an_int64 = 4;
      uint32 a_uint32 = 5;
      uint64 a_uint64 = 6;
      sint32 a_sint32 = 7;
      sint64 a_sint64 = 8;
      fixed32 a_fixed32 = 9;
      fixed64 a_fixed64 = 10;
      sfixed32 a_sfixed32 = 11;
      sfixed64 a_sfixed64 = 12;
      bool a_bool = 13;
      string a_string = 14;
      bytes some_bytes = 15;
      Colour a_colour = 16;
      All child = 17;
      optional int32 maybe = 18;
      repeated int32 packed = 19;
      repeated sint64 unpacked = 20 [packed = false];
      repeated string strings = 21;
      repeated All children = 22;
      repeated double doubles = 23;
      repeated Colour colours = 24;
      map<string, int64> by_name = 25;
      map<int32, All> by_number = 26;
      map<bool, bytes> by_bool = 27;
      oneof choice {
        string text = 28;
        int32 number = 29;
        All message = 30;
      }
      google.protobuf.Timestamp at = 31;
      google.protobuf.Duration lasts = 32;
      google.protobuf.FieldMask mask = 33;
      google.protobuf.Struct structure = 34;
      google.protobuf.Value value = 35;
      google.protobuf.ListValue list = 36;
      google.protobuf.Any any = 37;
      google.protobuf.Empty empty = 38;
      google.protobuf.Int64Value wrapped = 39;
      google.protobuf.StringValue wrapped_text = 40;
      google.protobuf.BytesValue wrapped_bytes = 41;
      google.protobuf.DoubleValue wrapped_double = 42;
      google.protobuf.NullValue nothing = 43;
      int32 renamed = 1000 [json_name = "otherName"];
    }
"#;

/// A schema of what only proto2 has.
const OLD: &str = r#"
    syntax = "proto2";
    package old;
    enum Closed { ONE = 1; TWO = 2; }
    message Order {
      required string id = 1;
      optional Closed kind = 2 [default = TWO];
      repeated group Line = 3 { required int32 quantity = 1; optional string sku = 2; }
      optional Order parent = 4;
      extensions 100 to 200;
    }
    extend Order { optional int32 extra = 100; }
"#;

fn compiled(text: &str) -> ProtobufSchema {
    ProtobufSchema::compile(&Source {
        text: text.to_owned(),
        references: Vec::new(),
    })
    .expect("a schema")
}

fn all() -> super::Message {
    static SCHEMA: LazyLock<ProtobufSchema> = LazyLock::new(|| compiled(ALL));
    SCHEMA.message(None).expect("a message")
}

fn old() -> ProtobufSchema {
    static SCHEMA: LazyLock<ProtobufSchema> = LazyLock::new(|| compiled(OLD));
    SCHEMA.clone()
}
