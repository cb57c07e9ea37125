// The promises of engine/remotes/hub.h, as tests that run over every body of Hub, so that the simulated one keeps those
// of the real ones.
//
// A body's test lists tests/contract/hub_contract.cc among its sources, links assay_test_chain, and says how to make
// one:
//
//   INSTANTIATE_TEST_SUITE_P(Simulated, HubContract,
//                            testing::Values(HubBody{"simulated", [] { return std::make_unique<SimulatedHub>(); }}),
//                            HubBodyName);
//
// `make` gives a fresh, empty hub with branches 1 and 2, which may read everything, and branch 3, which may read only
// "public.products". Each Connect is a connection of its own; the hub outlives them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "engine/remotes/hub.h"
#include "gtest/gtest.h"
#include "tests/contract/test_chain.h"

namespace assay::test {

class HubUnderTest {
 public:
  virtual ~HubUnderTest() = default;
  virtual std::unique_ptr<Hub> Connect(uint32_t branch_number) = 0;
  // Makes all that it knows of the branches so much older.
  virtual void Advance(absl::Duration time) = 0;
};

struct HubBody {
  std::string name;
  // nullptr: cannot run here (no PostgreSQL), the tests are skipped.
  std::function<std::unique_ptr<HubUnderTest>()> make;
};
inline void PrintTo(const HubBody& body, std::ostream* out) { *out << body.name; }
inline std::string HubBodyName(const testing::TestParamInfo<HubBody>& info) { return info.param.name; }

class HubContract : public testing::TestWithParam<HubBody> {
 protected:
  void SetUp() override;
  std::unique_ptr<HubUnderTest> hub_;
};

}  // namespace assay::test
