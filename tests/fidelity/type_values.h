// Every type a column may have, with the values that a careless copy would change: the table behind types_test.cc.
//
// A value is a literal's text, read by the type's own input function; one that begins with '=' is an expression. Values
// that one equality takes for the same (0 and -0) may stand beside each other: as keys only the first of them is used.
#pragma once

#include <string>
#include <vector>

namespace assay::test {

struct TypeValues {
  std::string type;
  std::vector<std::string> values;
  bool key = true;         // It has a btree order, so it can be a primary key.
  std::string extension;   // That brings it.
  int server_version = 0;  // The first that knows the type or the values: 170000.
};

const std::vector<TypeValues>& AllTypes();

// DDL of the enums, domains, composites and ranges that AllTypes names.
extern const char kUserTypes[];

}  // namespace assay::test
