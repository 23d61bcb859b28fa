#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "dataset.h"
#include "kernels.cuh"
#include "runtime.h"
#include "trainer.h"

namespace cuda_trainer {
namespace {

constexpr int kPoints = 8192;
constexpr int kValidationPoints = 1000;  // not a power of two: its pitch differs from its width
constexpr int kReportEvery = 10;
constexpr int kSlots = 2;  // batches in flight
constexpr float kLearningRate = 1e-3F;
constexpr float kDemandedFall = 0.6F;  // of the first loss

constexpr size_t bytes_of(size_t floats) { return floats * sizeof(float); }
unsigned blocks_for(size_t count, unsigned threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

struct Parameter {
  float* value = nullptr;  // cudaMalloc, as are the moments: they stay
  float* first = nullptr;
  float* second = nullptr;
  float* gradient = nullptr;  // from the explicit pool, from backward to the optimizer's step
  size_t count = 0;
};

struct Layer {
  Parameter weight;  // inputs × outputs
  Parameter bias;
  int inputs = 0;
  int outputs = 0;
};

// Where a batch waits on its way to the GPU, so that one can be filled while another is used.
struct Slot {
  float* staged_inputs = nullptr;  // pinned
  float* inputs = nullptr;
  int* labels = nullptr;
  cudaEvent_t copied = nullptr;
  cudaEvent_t consumed = nullptr;
};

class Trainer {
 public:
  Trainer(const Options& options, Ledger& ledger)
      : options_(options),
        runtime_(ledger),
        ledger_(ledger),
        dataset_(kPoints + kValidationPoints, options.seed) {}

  void set_up();
  void step(int index);
  void report(int index);
  double validate();
  std::vector<float> finish();  // returns the losses; frees everything

 private:
  void create_streams_and_pool();
  void create_parameter(Parameter& parameter, size_t count, float deviation, uint64_t seed);
  void create_validation();
  void capture_norm_graph();
  void load_batch(int index, Slot& slot);
  void multiply_forward(const float* input, int input_stride, const Layer& layer, float* output,
                        int rows, bool relu);
  void forward(const float* inputs, int input_stride, int rows, std::array<float*, 3>& outputs);
  void backward(const Slot& slot, const std::array<float*, 3>& outputs, float* logit_gradient);
  void optimize(int index);
  void update(Parameter& parameter, float rate);
  void free_parameter(Parameter& parameter);
  void synchronize() { CUDA_TRAINER_CALL(ledger_, cudaDeviceSynchronize); }
  std::array<Parameter*, 6> parameters();

  Options options_;
  Runtime runtime_;
  Ledger& ledger_;
  Dataset dataset_;
  cudaStream_t compute_ = nullptr;
  cudaStream_t copy_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t norm_graph_ = nullptr;
  std::array<Layer, 3> layers_;
  std::array<Slot, kSlots> slots_;
  float* losses_ = nullptr;        // device, one a step
  float* loss_on_host_ = nullptr;  // pinned
  float* norm_ = nullptr;          // managed: a kernel writes it, the host reads it
  float* best_weights_ = nullptr;  // a copy of the last layer's weights
  float* validation_inputs_ = nullptr;
  size_t validation_pitch_ = 0;  // bytes
  int* validation_labels_ = nullptr;
};

std::array<Parameter*, 6> Trainer::parameters() {
  return {&layers_[0].weight, &layers_[0].bias,   &layers_[1].weight,
          &layers_[1].bias,   &layers_[2].weight, &layers_[2].bias};
}

// ---------------------------------------------------------------------------------- before the
// loop

void Trainer::set_up() {
  create_streams_and_pool();
  const int widths[4] = {Dataset::kFeatures, options_.width, options_.width, Dataset::kClasses};
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    layer.inputs = widths[i];
    layer.outputs = widths[i + 1];
    const auto inputs = static_cast<size_t>(layer.inputs);
    const auto outputs = static_cast<size_t>(layer.outputs);
    const float deviation = std::sqrt(2.0F / static_cast<float>(layer.inputs));
    create_parameter(layer.weight, inputs * outputs, deviation, options_.seed + 10 + i);
    create_parameter(layer.bias, outputs, 0.0F, 0);
  }
  const auto batch = static_cast<size_t>(options_.batch);
  for (Slot& slot : slots_) {
    slot.staged_inputs = runtime_.pinned_array<float>(batch * Dataset::kFeatures);
    slot.inputs = runtime_.device_array<float>(batch * Dataset::kFeatures);
    slot.labels = runtime_.device_array<int>(batch);
    CUDA_TRAINER_CALL(ledger_, cudaEventCreateWithFlags, &slot.copied, cudaEventDisableTiming);
    CUDA_TRAINER_CALL(ledger_, cudaEventCreateWithFlags, &slot.consumed, cudaEventDisableTiming);
  }
  losses_ = runtime_.device_array<float>(static_cast<size_t>(options_.steps));
  loss_on_host_ = runtime_.host_array<float>(1, cudaHostAllocDefault);
  norm_ = runtime_.managed_array<float>(1);
  best_weights_ = runtime_.device_array<float>(layers_[2].weight.count);
  runtime_.pin(dataset_.labels.get(), dataset_.label_bytes);
  create_validation();
  capture_norm_graph();
  synchronize();
}

void Trainer::create_streams_and_pool() {
  CUDA_TRAINER_CALL(ledger_, cudaStreamCreateWithFlags, &compute_, cudaStreamNonBlocking);
  CUDA_TRAINER_CALL(ledger_, cudaStreamCreateWithFlags, &copy_, cudaStreamNonBlocking);
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.handleTypes = cudaMemHandleTypeNone;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = 0;
  CUDA_TRAINER_CALL(ledger_, cudaMemPoolCreate, &pool_, &properties);
  uint64_t keep_everything = UINT64_MAX;
  CUDA_TRAINER_CALL(ledger_, cudaMemPoolSetAttribute, pool_, cudaMemPoolAttrReleaseThreshold,
                    &keep_everything);
}

void Trainer::create_parameter(Parameter& parameter, size_t count, float deviation, uint64_t seed) {
  parameter.count = count;
  parameter.value = runtime_.device_array<float>(count);
  parameter.first = runtime_.device_array<float>(count);
  parameter.second = runtime_.device_array<float>(count);
  const std::vector<float> values = random_values(count, deviation, seed);
  runtime_.to_device(parameter.value, values.data(), bytes_of(count), HostMemory::kPageable);
  runtime_.clear(parameter.first, bytes_of(count));
  runtime_.clear_async(parameter.second, bytes_of(count), compute_);
}

void Trainer::create_validation() {
  const float* inputs = dataset_.inputs.data() + size_t{kPoints} * Dataset::kFeatures;
  const int* labels = dataset_.labels.get() + kPoints;
  const size_t row_bytes = bytes_of(Dataset::kFeatures);
  float* staged = runtime_.host_array<float>(size_t{kValidationPoints} * Dataset::kFeatures,
                                             cudaHostAllocPortable);
  std::memcpy(staged, inputs, row_bytes * kValidationPoints);
  validation_inputs_ =
      runtime_.pitched_array<float>(Dataset::kFeatures, kValidationPoints, &validation_pitch_);
  runtime_.rows_to_device_async(validation_inputs_, validation_pitch_, staged, row_bytes,
                                kValidationPoints, HostMemory::kPinned, copy_);
  // The labels go by way of a vector, since an asynchronous copy from pageable memory is wanted
  // too.
  const std::vector<int> pageable(labels, labels + kValidationPoints);
  validation_labels_ = runtime_.device_array<int>(kValidationPoints);
  runtime_.to_device_async(validation_labels_, pageable.data(), pageable.size() * sizeof(int),
                           HostMemory::kPageable, copy_);
  CUDA_TRAINER_CALL(ledger_, cudaStreamSynchronize, copy_);
  runtime_.free_host(staged);
}

void Trainer::capture_norm_graph() {
  CUDA_TRAINER_CALL(ledger_, cudaStreamBeginCapture, compute_, cudaStreamCaptureModeRelaxed);
  ledger_.begin_capture();
  runtime_.launch("clear_norm", clear_norm, 1, 1, compute_, norm_);
  for (const Layer& layer : layers_) {
    runtime_.launch("add_squares", add_squares, 1, kThreads, compute_, layer.weight.value,
                    static_cast<int>(layer.weight.count), norm_);
  }
  CUDA_TRAINER_CALL(ledger_, cudaStreamEndCapture, compute_, &graph_);
  const uint64_t captured = ledger_.end_capture();
  size_t nodes = 0;
  CUDA_TRAINER_CALL(ledger_, cudaGraphGetNodes, graph_, nullptr, &nodes);
  if (nodes != captured) throw std::logic_error("ledger: the graph has other nodes than counted");
  CUDA_TRAINER_CALL(ledger_, cudaGraphInstantiate, &norm_graph_, graph_, 0);
}

// ------------------------------------------------------------------------------------------ the
// loop

void Trainer::load_batch(int index, Slot& slot) {
  const auto batch = static_cast<size_t>(options_.batch);
  const size_t first = static_cast<size_t>(index) * batch % (kPoints - batch + 1);
  // The copy out of this slot of two steps ago must be over before the host writes into it.
  if (index >= kSlots) CUDA_TRAINER_CALL(ledger_, cudaEventSynchronize, slot.copied);
  const float* inputs = dataset_.inputs.data() + first * Dataset::kFeatures;
  const size_t input_bytes = bytes_of(batch * Dataset::kFeatures);
  std::memcpy(slot.staged_inputs, inputs, input_bytes);
  if (index >= kSlots) CUDA_TRAINER_CALL(ledger_, cudaStreamWaitEvent, copy_, slot.consumed, 0);
  runtime_.to_device_async(slot.inputs, slot.staged_inputs, input_bytes, HostMemory::kPinned,
                           copy_);
  runtime_.to_device_async(slot.labels, dataset_.labels.get() + first, batch * sizeof(int),
                           HostMemory::kPinned, copy_);
  CUDA_TRAINER_CALL(ledger_, cudaEventRecord, slot.copied, copy_);
  CUDA_TRAINER_CALL(ledger_, cudaStreamWaitEvent, compute_, slot.copied, 0);
}

void Trainer::multiply_forward(const float* input, int input_stride, const Layer& layer,
                               float* output, int rows, bool relu) {
  const dim3 grid(blocks_for(static_cast<size_t>(layer.outputs), kTile),
                  blocks_for(static_cast<size_t>(rows), kTile));
  runtime_.launch("matrix_product", matrix_product<false, false>, grid, dim3(kTile, kTile),
                  compute_, input, input_stride, layer.weight.value, output, rows, layer.outputs,
                  layer.inputs);
  const size_t count = static_cast<size_t>(rows) * static_cast<size_t>(layer.outputs);
  runtime_.launch("add_bias", add_bias, blocks_for(count, kThreads), kThreads, compute_, output,
                  layer.bias.value, rows, layer.outputs, relu);
}

// Allocates one output a layer; who calls this frees them.
void Trainer::forward(const float* inputs, int input_stride, int rows,
                      std::array<float*, 3>& outputs) {
  const float* input = inputs;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    outputs[i] = runtime_.async_array<float>(
        static_cast<size_t>(rows) * static_cast<size_t>(layer.outputs), compute_);
    multiply_forward(input, input_stride, layer, outputs[i], rows, i + 1 < layers_.size());
    input = outputs[i];
    input_stride = layer.outputs;
  }
}

void Trainer::backward(const Slot& slot, const std::array<float*, 3>& outputs,
                       float* logit_gradient) {
  const int rows = options_.batch;
  float* gradient = logit_gradient;
  for (size_t i = layers_.size(); i-- > 0;) {
    Layer& layer = layers_[i];
    const float* input = i == 0 ? slot.inputs : outputs[i - 1];
    const auto inputs = static_cast<size_t>(layer.inputs);
    const auto outputs_of_layer = static_cast<size_t>(layer.outputs);
    layer.weight.gradient = runtime_.pool_array<float>(layer.weight.count, pool_, compute_);
    layer.bias.gradient = runtime_.pool_array<float>(layer.bias.count, pool_, compute_);
    runtime_.launch("matrix_product", matrix_product<true, false>,
                    dim3(blocks_for(outputs_of_layer, kTile), blocks_for(inputs, kTile)),
                    dim3(kTile, kTile), compute_, input, layer.inputs, gradient,
                    layer.weight.gradient, layer.inputs, layer.outputs, rows);
    runtime_.launch("sum_columns", sum_columns, blocks_for(outputs_of_layer, kThreads), kThreads,
                    compute_, gradient, layer.bias.gradient, rows, layer.outputs);
    if (i > 0) {
      const size_t count = static_cast<size_t>(rows) * inputs;
      float* input_gradient = runtime_.async_array<float>(count, compute_);
      runtime_.launch("matrix_product", matrix_product<false, true>,
                      dim3(blocks_for(inputs, kTile), blocks_for(static_cast<size_t>(rows), kTile)),
                      dim3(kTile, kTile), compute_, gradient, layer.outputs, layer.weight.value,
                      input_gradient, rows, layer.inputs, layer.outputs);
      runtime_.launch("relu_gradient", relu_gradient, blocks_for(count, kThreads), kThreads,
                      compute_, input_gradient, input, static_cast<int>(count));
      runtime_.free_async(gradient, compute_);
      gradient = input_gradient;
    }
    runtime_.free_async(outputs[i], compute_);
  }
  runtime_.free_async(gradient, compute_);
}

void Trainer::update(Parameter& parameter, float rate) {
  runtime_.launch("adam_update", adam_update, blocks_for(parameter.count, kThreads), kThreads,
                  compute_, parameter.value, parameter.gradient, parameter.first, parameter.second,
                  static_cast<int>(parameter.count), rate);
  runtime_.free_async(parameter.gradient, compute_);
  parameter.gradient = nullptr;
}

void Trainer::optimize(int index) {
  const double steps = index + 1;
  const double correction = std::sqrt(1.0 - std::pow(0.999, steps)) / (1.0 - std::pow(0.9, steps));
  for (Parameter* parameter : parameters()) {
    update(*parameter, static_cast<float>(kLearningRate * correction));
  }
}

void Trainer::step(int index) {
  Slot& slot = slots_[static_cast<size_t>(index % kSlots)];
  load_batch(index, slot);
  const int rows = options_.batch;
  std::array<float*, 3> outputs = {};
  forward(slot.inputs, Dataset::kFeatures, rows, outputs);
  float* row_losses = runtime_.async_array<float>(static_cast<size_t>(rows), compute_);
  float* logit_gradient =
      runtime_.async_array<float>(static_cast<size_t>(rows) * Dataset::kClasses, compute_);
  runtime_.launch("softmax_loss", softmax_loss, blocks_for(static_cast<size_t>(rows), kThreads),
                  kThreads, compute_, outputs[2], slot.labels, logit_gradient, row_losses, rows,
                  int{Dataset::kClasses});
  runtime_.launch("mean_loss", mean_loss, 1, kThreads, compute_, row_losses, rows, losses_ + index);
  runtime_.free_async(row_losses, compute_);
  backward(slot, outputs, logit_gradient);
  CUDA_TRAINER_CALL(ledger_, cudaEventRecord, slot.consumed, compute_);
  optimize(index);
}

void Trainer::report(int index) {
  runtime_.to_host_async(loss_on_host_, losses_ + index, sizeof(float), HostMemory::kPinned,
                         compute_);
  CUDA_TRAINER_CALL(ledger_, cudaGraphLaunch, norm_graph_, compute_);
  ledger_.graph_launch();
  runtime_.on_device_async(best_weights_, layers_[2].weight.value,
                           bytes_of(layers_[2].weight.count), compute_);
  synchronize();  // the host may not touch managed memory earlier on every machine
  std::printf("step %4d  loss %.6f  norm of the weights %.4f\n", index,
              static_cast<double>(*loss_on_host_), std::sqrt(static_cast<double>(*norm_)));
  std::fflush(stdout);
}

// ----------------------------------------------------------------------------------- after the
// loop

double Trainer::validate() {
  std::array<float*, 3> outputs = {};
  forward(validation_inputs_, static_cast<int>(validation_pitch_ / sizeof(float)),
          kValidationPoints, outputs);
  int* correct = runtime_.async_array<int>(1, compute_);
  runtime_.launch("count_correct", count_correct, 1, kThreads, compute_, outputs[2],
                  validation_labels_, kValidationPoints, int{Dataset::kClasses}, correct);
  int result = 0;
  CUDA_TRAINER_CALL(ledger_, cudaStreamSynchronize, compute_);
  runtime_.to_host(&result, correct, sizeof result, HostMemory::kPageable);
  runtime_.free_async(correct, compute_);
  for (float* output : outputs) runtime_.free_async(output, compute_);
  return static_cast<double>(result) / kValidationPoints;
}

void Trainer::free_parameter(Parameter& parameter) {
  runtime_.free_array(parameter.value);
  runtime_.free_array(parameter.first);
  runtime_.free_array(parameter.second);
}

std::vector<float> Trainer::finish() {
  synchronize();
  std::vector<float> losses(static_cast<size_t>(options_.steps));
  // Into pageable memory both ways: the last weights without waiting, the losses with.
  std::vector<float> weights(layers_[2].weight.count);
  runtime_.to_host_async(weights.data(), layers_[2].weight.value, bytes_of(weights.size()),
                         HostMemory::kPageable, compute_);
  runtime_.to_host(losses.data(), losses_, bytes_of(losses.size()), HostMemory::kPageable);
  runtime_.on_device(best_weights_, layers_[2].weight.value, bytes_of(layers_[2].weight.count));
  runtime_.to_host(slots_[0].staged_inputs, best_weights_, sizeof(float), HostMemory::kPinned);
  runtime_.to_device(best_weights_, slots_[0].staged_inputs, sizeof(float), HostMemory::kPinned);
  synchronize();

  CUDA_TRAINER_CALL(ledger_, cudaGraphExecDestroy, norm_graph_);
  CUDA_TRAINER_CALL(ledger_, cudaGraphDestroy, graph_);
  for (Parameter* parameter : parameters()) free_parameter(*parameter);
  for (Slot& slot : slots_) {
    runtime_.free_host(slot.staged_inputs);
    runtime_.free_array(slot.inputs);
    runtime_.free_array(slot.labels);
    CUDA_TRAINER_CALL(ledger_, cudaEventDestroy, slot.copied);
    CUDA_TRAINER_CALL(ledger_, cudaEventDestroy, slot.consumed);
  }
  runtime_.free_array(losses_);
  runtime_.free_host(loss_on_host_);
  runtime_.free_array(norm_);
  runtime_.free_array(best_weights_);
  runtime_.free_array(validation_inputs_);
  runtime_.free_array(validation_labels_);
  runtime_.unpin(dataset_.labels.get());
  CUDA_TRAINER_CALL(ledger_, cudaMemPoolDestroy, pool_);
  CUDA_TRAINER_CALL(ledger_, cudaStreamDestroy, compute_);
  CUDA_TRAINER_CALL(ledger_, cudaStreamDestroy, copy_);
  return losses;
}

}  // namespace

bool gpu_present(Ledger& ledger, std::string& why_not) {
  int devices = 0;
  ledger.call("cudaGetDeviceCount");
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) {
    why_not = cudaGetErrorString(status);
    return false;
  }
  int pools = 0;
  CUDA_TRAINER_CALL(ledger, cudaDeviceGetAttribute, &pools, cudaDevAttrMemoryPoolsSupported, 0);
  if (pools == 0) why_not = "the first device has no memory pools (cudaMallocAsync)";
  return pools != 0;
}

bool train(const Options& options, Ledger& ledger) {
  cudaDeviceProp properties = {};
  CUDA_TRAINER_CALL(ledger, cudaGetDeviceProperties, &properties, 0);
  ledger.device_name(properties.name);
  std::printf("training on %s\n", properties.name);
  Trainer trainer(options, ledger);
  trainer.set_up();
  for (int index = 0; index < options.steps; ++index) {
    trainer.step(index);
    if (index % kReportEvery == 0 || index + 1 == options.steps) trainer.report(index);
  }
  const double right = trainer.validate();
  const std::vector<float> losses = trainer.finish();
  for (const float loss : losses) ledger.loss(static_cast<double>(loss));
  const bool fell = losses.back() < kDemandedFall * losses.front();
  std::printf("trained %d steps, loss %.6f -> %.6f, %.1f%% right on points not seen: %s\n",
              options.steps, static_cast<double>(losses.front()),
              static_cast<double>(losses.back()), 100.0 * right,
              fell ? "it learns" : "IT DOES NOT LEARN");
  return fell;
}

}  // namespace cuda_trainer
