// Copies that take longer than they need, and a device that waits for them; copies that do not.
#include <gtest/gtest.h>

#include <algorithm>

#include "fake_reader.h"
#include "sizes.h"
#include "tidemark/analyzer/findings.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::Space;
using trace::StackId;

constexpr int64_t kMicrosecond = 1000;

// Ten steps of a millisecond each: a kernel of half of it, at its end.
class Loop {
 public:
  FakeReader reader;
  static constexpr int64_t kSteps = 10;
  static constexpr int64_t kStep = 1000 * kMicrosecond;

  Loop() {
    reader.end = kSteps * kStep;
    trace::Frame frame;
    frame.function = "load";
    frame.file = "loop.cu";
    frame.line = 12;
    reader.stacks[StackId{1}] = {frame};
    for (int64_t step = 0; step < kSteps; ++step) {
      trace::Kernel kernel;
      kernel.id = step + 1;
      kernel.device = 0;
      kernel.start_ns = step * kStep + kStep / 2;
      kernel.end_ns = (step + 1) * kStep;
      reader.kernel_rows.push_back(kernel);
    }
  }

  // In each step.
  void copy(uint64_t bytes, Space from, int64_t begin_ns, int64_t length_ns) {
    for (int64_t step = 0; step < kSteps; ++step) {
      trace::Transfer row;
      row.id = static_cast<int64_t>(reader.transfer_rows.size()) + 1;
      row.device = 0;
      row.kind = trace::TransferKind::kHtoD;
      row.bytes = bytes;
      row.src_space = from;
      row.dst_space = Space::kDevice;
      row.start_ns = step * kStep + begin_ns;
      row.end_ns = row.start_ns + length_ns;
      row.stack = StackId{1};
      reader.transfer_rows.push_back(row);
    }
  }

  std::vector<Finding> find() const {
    const auto found = find_waste(reader, {}, {});
    EXPECT_TRUE(found.has_value());
    return *found;
  }
};

const Finding* of(const std::vector<Finding>& found, Pattern pattern) {
  const auto one = std::find_if(found.begin(), found.end(),
                                [&](const Finding& finding) { return finding.pattern == pattern; });
  return one == found.end() ? nullptr : &*one;
}

TEST(Copies, PageableOnesAreHeldAgainstPinnedOnesOfTheSameTrace) {
  Loop loop;
  loop.copy(kMiB, Space::kHost, 520 * kMicrosecond, 200 * kMicrosecond);
  loop.copy(kMiB, Space::kPinned, 750 * kMicrosecond, 20 * kMicrosecond);
  const std::vector<Finding> found = loop.find();
  ASSERT_EQ(found.size(), 1U);  // kernels run meanwhile
  const Finding& finding = found.front();
  EXPECT_EQ(finding.pattern, Pattern::kPageableCopies);
  EXPECT_EQ(finding.bytes, 10 * kMiB);
  EXPECT_EQ(finding.count, 10U);
  EXPECT_EQ(finding.line, 12);
  EXPECT_NEAR(finding.seconds, 10 * 180e-6, 1e-9);
  EXPECT_NE(finding.evidence.find("5.2 GB/s; pinned, 52.4 GB/s"), std::string::npos)
      << finding.evidence;
}

TEST(Copies, WithoutAPinnedOneTheLinkSaysWhatIsToBeHad) {
  Loop loop;
  loop.copy(kMiB, Space::kHost, 520 * kMicrosecond, 200 * kMicrosecond);
  EXPECT_TRUE(loop.find().empty());  // nothing says what would be faster
  loop.reader.meta_rows = {{"cuda.device.0.pcie_link", "32.0 GT/s PCIe x16"}};
  const std::vector<Finding> found = loop.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found.front().evidence.find("53.6 GB/s"), std::string::npos) << found.front().evidence;
}

TEST(Copies, PinnedOnesBesideKernelsAreAsTheyShouldBe) {
  Loop loop;
  loop.copy(kMiB, Space::kPinned, 600 * kMicrosecond, 20 * kMicrosecond);
  EXPECT_TRUE(loop.find().empty());
}

TEST(Copies, OnesThatNoKernelRunsBesideAreSerial) {
  Loop loop;
  loop.copy(kMiB, Space::kPinned, 0, 100 * kMicrosecond);
  const std::vector<Finding> found = loop.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().pattern, Pattern::kSerialCopies);
  EXPECT_NEAR(found.front().seconds, 10 * 100e-6, 1e-9);
}

TEST(Copies, ADeviceThatIsIdleUntilTheyComeWaitsForInput) {
  Loop loop;
  loop.copy(kMiB, Space::kPinned, 400 * kMicrosecond, 20 * kMicrosecond);
  const std::vector<Finding> found = loop.find();
  const Finding* wait = of(found, Pattern::kInputWait);
  ASSERT_NE(wait, nullptr);
  // Before the first nothing is awaited: the work begins with it.
  EXPECT_NEAR(wait->seconds, 9 * 400e-6, 1e-9);
  EXPECT_EQ(wait->count, 9U);
}

TEST(Copies, ManySmallOnesAreToBeGathered) {
  Loop loop;
  loop.reader.meta_rows = {{"cuda.device.0.pcie_link", "32.0 GT/s PCIe x16"}};
  for (int64_t i = 0; i < 20; ++i) {
    loop.copy(512, Space::kPinned, (510 + 10 * i) * kMicrosecond, 2 * kMicrosecond);
  }
  const std::vector<Finding> found = loop.find();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().pattern, Pattern::kSmallCopies);
  EXPECT_EQ(found.front().count, 200U);
  EXPECT_EQ(found.front().bytes, 200 * 512U);
}

TEST(Copies, OutsideTheWindowNothingIsKnown) {
  Loop loop;
  loop.copy(kMiB, Space::kPinned, 400 * kMicrosecond, 20 * kMicrosecond);
  loop.reader.meta_rows = {{"option_window", "signal"}};
  loop.reader.window_rows = {{trace::WindowId{1}, trace::ProcessId{0}, 0, Loop::kStep}};
  EXPECT_TRUE(loop.find().empty());  // a single copy lies in it
}

}  // namespace
}  // namespace tidemark::analyzer
