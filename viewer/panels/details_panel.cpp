#include "tidemark/viewer/details_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tidemark/viewer/format.h"
#include "tidemark/viewer/navigation.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

void go_to_use(const PanelContext& context, const analyzer::Use& use) {
  Choice choice;
  choice.operation = use.id;
  choice.operation_ns = use.start_ns;
  switch (use.kind) {
    case analyzer::UseKind::kKernel:
      choice.operation_kind = SliceKind::kKernel;
      break;
    case analyzer::UseKind::kSet:
      choice.operation_kind = SliceKind::kSet;
      break;
    case analyzer::UseKind::kCopyFrom:
    case analyzer::UseKind::kCopyTo:
      choice.operation_kind = SliceKind::kCopyOther;
      // Which way it went is the lane's to say.
      if (context.activity != nullptr) {
        for (const StreamTrack& stream : context.activity->streams) {
          const size_t at = stream.lane.at(use.start_ns, 1);
          if (at == SliceLane::npos) continue;
          const Slice& slice = stream.lane.slices()[at];
          if (slice.id == use.id && slice.kind != SliceKind::kKernel &&
              slice.kind != SliceKind::kSet) {
            choice.operation_kind = slice.kind;
          }
        }
      }
      break;
  }
  jump_to(context.state, choice, use.start_ns, use.start_ns);
}

const char* kind_word(SliceKind kind) {
  switch (kind) {
    case SliceKind::kKernel:
      return "Kernel";
    case SliceKind::kSet:
      return "Set";
    case SliceKind::kCopyToDevice:
    case SliceKind::kCopyToHost:
    case SliceKind::kCopyOther:
      return "Copy";
    case SliceKind::kRange:
    case SliceKind::kIteration:
    case SliceKind::kPhase:
      break;
  }
  return "Range";
}

}  // namespace

void DetailsPanel::draw(const PanelContext& context) {
  const ViewState& state = context.state;
  const bool anything =
      state.range || state.choice.block != trace::AllocationId{} || state.choice.operation != 0;
  if (context.questions == nullptr || !anything) {
    placeholder(context,
                "Click a block, a kernel or a copy on the timeline, or Shift-drag a range");
    return;
  }
  const DetailsQuestion question{state.choice, state.range, state.selected,
                                 context.insight != nullptr};
  context.questions->details().request(question);
  shown_ = context.questions->details().latest();
  if (shown_ == nullptr || shown_->question.choice != question.choice ||
      shown_->question.range != question.range || shown_->question.series != question.series) {
    placeholder(context, "looking up ...");
    return;
  }
  if (const auto* error = std::get_if<Error>(&shown_->answer)) {
    text_coloured(context.colours().bad, error->message);
  } else if (const auto* block = std::get_if<BlockDetails>(&shown_->answer)) {
    draw_block(context, *block);
  } else if (const auto* operation = std::get_if<OperationDetails>(&shown_->answer)) {
    draw_operation(context, *operation);
  } else if (const auto* range = std::get_if<RangeDetails>(&shown_->answer)) {
    draw_range(context, *range);
  }
}

void DetailsPanel::draw_facts(const PanelContext& context, const BlockDetails& details) const {
  const BlockLink& block = details.block;
  heading(context, format_bytes(static_cast<int64_t>(block.bytes)),
          fmt::format("{}  in {}", format_bytes_exact(static_cast<int64_t>(block.bytes)),
                      analyzer::series_text(block.series)));
  fact_line(context, "category", details.category);
  fact_line(context, "phase", details.phase);
  fact_line(context, "layer", details.layer);
  if (!details.node.empty()) fact_line(context, "backward of", details.node);
  fact_line(context, "address", fmt::format("0x{:x}", block.address),
            fmt::format("block {}", static_cast<int64_t>(block.id)));
  const bool ends = block.free_ns != trace::kNever;
  fact_line(context, "lives", format_time(block.alloc_ns),
            ends ? fmt::format("to {}, {}", format_time(block.free_ns),
                               format_duration(block.free_ns - block.alloc_ns))
                 : "and was never freed");
  fact_line(context, "asked by", details.api, details.source);
  fact_line(context, "thread", details.thread);
}

void DetailsPanel::draw_uses(const PanelContext& context, const BlockDetails& details) const {
  if (!details.uses_known) {
    text_coloured(context.colours().text_dim, context.insight == nullptr
                                                  ? "finding out what used it ..."
                                                  : "The trace does not tell what used it");
    return;
  }
  heading(context, plural(details.use_count, "use"),
          details.use_count > details.uses.size() ? "the first and the last of them" : "");
  if (details.uses.empty()) {
    text_coloured(context.colours().warning, "no kernel, copy or set ever touched it");
    return;
  }
  const float height = ImGui::GetTextLineHeightWithSpacing() * 7.5F;
  if (!begin_table("uses", {{"When", 8.0F}, {"By", kTheRest}}, {0, height})) return;
  visible_rows(details.uses.size(), [&](size_t i) {
    const BlockUse& use = details.uses[i];
    if (row_button(static_cast<int>(i), false, format_time(use.use.start_ns))) {
      go_to_use(context, use.use);
    }
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(details.names[use.name].c_str());
  });
  ImGui::EndTable();
}

void DetailsPanel::draw_block(const PanelContext& context, const BlockDetails& details) const {
  const float width = ImGui::GetContentRegionAvail().x;
  begin_well(context, "block", {std::floor(width * 0.46F), 0});
  draw_facts(context, details);
  draw_uses(context, details);
  if (details.below || details.above) {
    heading(context, "Neighbours", "in address, when it was born");
    if (ImGui::BeginTable("neighbours", 3, ImGuiTableFlags_NoSavedSettings)) {
      if (details.above) block_row(context, *details.above);
      if (details.below) block_row(context, *details.below);
      ImGui::EndTable();
    }
  }
  ImGui::EndChild();
  ImGui::SameLine();
  begin_well(context, "stacks", {0, 0});
  if (details.forward_at != nullptr) {
    heading(context, "In forward", "whose gradient this is for");
    stack_lines(context, *details.forward_at);
  }
  heading(context, "Allocated at");
  if (details.allocated_at != nullptr) stack_lines(context, *details.allocated_at);
  if (details.freed_at != nullptr && !details.freed_at->frames.empty()) {
    heading(context, "Freed at");
    stack_lines(context, *details.freed_at);
  }
  ImGui::EndChild();
}

void DetailsPanel::draw_operation(const PanelContext& context,
                                  const OperationDetails& details) const {
  const float width = ImGui::GetContentRegionAvail().x;
  begin_well(context, "operation", {std::floor(width * 0.55F), 0});
  heading(context, kind_word(details.kind), format_duration(details.end_ns - details.start_ns));
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(details.name.c_str());
  ImGui::PopTextWrapPos();
  fact_line(context, "runs", format_time(details.start_ns), "to " + format_time(details.end_ns));
  uint64_t bytes = 0;
  for (const BlockLink& link : details.blocks) bytes += link.bytes;
  if (!details.blocks_known) {
    text_coloured(context.colours().text_dim, "The trace does not tell what it worked on");
  } else {
    heading(context, plural(details.blocks.size(), "block"),
            format_bytes(static_cast<int64_t>(bytes)) + " together, as it was handed them");
  }
  if (!details.blocks.empty() &&
      begin_table("blocks", {{"Bytes", 6.0F}, {"What", kTheRest}, {"Address", 9.0F}})) {
    for (const BlockLink& link : details.blocks) block_row(context, link);
    ImGui::EndTable();
  }
  ImGui::EndChild();
  ImGui::SameLine();
  begin_well(context, "stack", {0, 0});
  heading(context, "Launched at");
  if (details.stack != nullptr) stack_lines(context, *details.stack);
  ImGui::EndChild();
}

void DetailsPanel::draw_range(const PanelContext& context, const RangeDetails& details) const {
  const int64_t growth = details.after_bytes - details.before_bytes;
  heading(context, "From A to B",
          fmt::format("{} to {}, {}, {}", format_time(details.range.begin_ns),
                      format_time(details.range.end_ns),
                      format_duration(details.range.end_ns - details.range.begin_ns),
                      analyzer::series_text(details.series)));
  fact_line(context, "live", format_bytes(details.before_bytes),
            fmt::format("at A,  {} at B,  {};  at most {}", format_bytes(details.after_bytes),
                        signed_bytes(growth), format_bytes(details.peak_bytes)));
  fact_line(context, "born", format_bytes(static_cast<int64_t>(details.all.born_bytes)),
            fmt::format("{}, {} of them died within", plural(details.all.born_count, "block"),
                        format_count(details.all.short_lived)));
  fact_line(context, "died", format_bytes(static_cast<int64_t>(details.all.died_bytes)),
            plural(details.all.died_count, "block"));
  fact_line(context, "kept", format_bytes(static_cast<int64_t>(details.all.kept_bytes)),
            fmt::format("born after A and live at B: {}; never freed: {} in {}",
                        plural(details.all.kept_count, "block"),
                        format_bytes(static_cast<int64_t>(details.all.leaked_bytes)),
                        plural(details.all.leaked_count, "block")));
  if (!begin_table("range",
                   {{"Growth", 6.5F},
                    {"Born", 6.5F},
                    {"Died", 6.5F},
                    {"Kept", 6.5F},
                    {"Never freed", 6.5F},
                    {"Blocks", 5.0F},
                    {"Allocated at", kTheRest}},
                   {0, 0}, ImGuiTableFlags_Resizable)) {
    return;
  }
  const auto bytes = [](uint64_t value) {
    ImGui::TableNextColumn();
    if (value > 0) right_aligned(format_bytes(static_cast<int64_t>(value)));
  };
  visible_rows(details.rows.size(), [&](size_t i) {
    const RangeRow& row = details.rows[i];
    coloured_growth(context, row.growth());
    bytes(row.born_bytes);
    bytes(row.died_bytes);
    bytes(row.kept_bytes);
    bytes(row.leaked_bytes);
    ImGui::TableNextColumn();
    right_aligned(format_count(row.born_count));
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(row.caption.c_str());
  });
  ImGui::EndTable();
}

}  // namespace tidemark::viewer
