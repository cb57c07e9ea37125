// What rows and columns are called in the checks of a history: by the first names that they had, since ALTER TABLE
// gives names on, and moves rows to another key.
#pragma once

#include <string>

#include "tests/simulation/sim_database.h"

namespace assay {

// Of all other tables each name is the first. They are most of what is looked at.
bool IsAltered(const TableName& rows);

// A column by the first name that it had.
std::string ColumnIn(const SimDatabase& database, const TableName& table, const std::string& name, uint32_t number);
// A row whose table has another key than it began with has the key's columns in its name, behind the table's.
TableName Keyed(const SimDatabase& database, TableName table, const std::vector<std::string>& key);
TableName RowsOf(const SimDatabase& database, const TableShape& shape);
SimRowName RowIn(const SimDatabase& database, const TableShape& shape, const SimValues& values);
// The name without that key; and whether there is one.
TableName PlainName(const TableName& rows);
bool IsRekeyed(const TableName& rows);
// The column, by its first name, is called otherwise by now, here at least.
bool HasTwoNames(const SimDatabase& database, const TableName& rows, const std::string& column);
// The table of a row, if its rows have such names now.
const SimTable* TableOf(const SimDatabase& database, const TableName& of_row);

}  // namespace assay
