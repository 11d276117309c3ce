// Rows of the system database as text and as JSON.
// May include: public headers, text.hpp.
#pragma once

#include <dbos/json.hpp>
#include <dbos/records.hpp>
#include <string>
#include <vector>

#include "text.hpp"

namespace dbos::cli {

// Payloads are parsed where they are portable JSON, else the recorded text; absent fields are left out.
nlohmann::json to_json(const WorkflowInfo& workflow);
nlohmann::json to_json(const StepInfo& step);
nlohmann::json to_json(const LimitInfo& limit);

// A status, coloured when wanted.
std::string status_text(Status status, bool colour);

std::string list_text(const std::vector<WorkflowInfo>& workflows);

std::string limits_text(const std::vector<LimitInfo>& limits);

// Facts, then one line for each step: offset from the start, how long it took, where in the run it lay, name, result.
std::string show_text(const WorkflowInfo& workflow, const std::vector<StepInfo>& steps, bool colour, std::size_t columns);

}  // namespace dbos::cli
