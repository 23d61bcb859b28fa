// Our description of NVTX's binary interface against NVTX's own headers.
#include "nvtx_abi.h"

#include <gtest/gtest.h>
#include <nvtx3/nvToolsExt.h>

namespace tidemark::preload::nvtx {
namespace {

TEST(NvtxAbi, is_that_of_the_headers) {
  EXPECT_EQ(kCallbacksTable, NVTX_ETID_CALLBACKS);
  EXPECT_EQ(kCore, static_cast<int>(NVTX_CB_MODULE_CORE));
  EXPECT_EQ(kCore2, static_cast<int>(NVTX_CB_MODULE_CORE2));
#define SAME(ours, theirs) EXPECT_EQ(static_cast<int>(ours), static_cast<int>(theirs)) << #theirs
  SAME(kMarkEx, NVTX_CBID_CORE_MarkEx);
  SAME(kMarkA, NVTX_CBID_CORE_MarkA);
  SAME(kMarkW, NVTX_CBID_CORE_MarkW);
  SAME(kRangeStartEx, NVTX_CBID_CORE_RangeStartEx);
  SAME(kRangeStartA, NVTX_CBID_CORE_RangeStartA);
  SAME(kRangeStartW, NVTX_CBID_CORE_RangeStartW);
  SAME(kRangeEnd, NVTX_CBID_CORE_RangeEnd);
  SAME(kRangePushEx, NVTX_CBID_CORE_RangePushEx);
  SAME(kRangePushA, NVTX_CBID_CORE_RangePushA);
  SAME(kRangePushW, NVTX_CBID_CORE_RangePushW);
  SAME(kRangePop, NVTX_CBID_CORE_RangePop);
  SAME(kNameOsThreadA, NVTX_CBID_CORE_NameOsThreadA);
  SAME(kNameOsThreadW, NVTX_CBID_CORE_NameOsThreadW);
  SAME(kDomainMarkEx, NVTX_CBID_CORE2_DomainMarkEx);
  SAME(kDomainRangeStartEx, NVTX_CBID_CORE2_DomainRangeStartEx);
  SAME(kDomainRangeEnd, NVTX_CBID_CORE2_DomainRangeEnd);
  SAME(kDomainRangePushEx, NVTX_CBID_CORE2_DomainRangePushEx);
  SAME(kDomainRangePop, NVTX_CBID_CORE2_DomainRangePop);
  SAME(kDomainRegisterStringA, NVTX_CBID_CORE2_DomainRegisterStringA);
  SAME(kDomainRegisterStringW, NVTX_CBID_CORE2_DomainRegisterStringW);
  SAME(kDomainCreateA, NVTX_CBID_CORE2_DomainCreateA);
  SAME(kDomainCreateW, NVTX_CBID_CORE2_DomainCreateW);
  SAME(kDomainDestroy, NVTX_CBID_CORE2_DomainDestroy);
  SAME(kNoDepths, NVTX_NO_PUSH_POP_TRACKING);
  SAME(kAscii, NVTX_MESSAGE_TYPE_ASCII);
  SAME(kUnicode, NVTX_MESSAGE_TYPE_UNICODE);
  SAME(kRegistered, NVTX_MESSAGE_TYPE_REGISTERED);
#undef SAME
  EXPECT_EQ(sizeof(EventAttributes), sizeof(nvtxEventAttributes_t));
  EXPECT_EQ(offsetof(EventAttributes, size), offsetof(nvtxEventAttributes_t, size));
  EXPECT_EQ(offsetof(EventAttributes, message_type), offsetof(nvtxEventAttributes_t, messageType));
  EXPECT_EQ(offsetof(EventAttributes, message), offsetof(nvtxEventAttributes_t, message));
  EXPECT_EQ(sizeof(Callbacks), sizeof(NvtxExportTableCallbacks));
  EXPECT_EQ(offsetof(Callbacks, get_module),
            offsetof(NvtxExportTableCallbacks, GetModuleFunctionTable));
}

}  // namespace
}  // namespace tidemark::preload::nvtx
