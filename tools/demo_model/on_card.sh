#!/bin/bash
# bash .demo/go.sh prepare|train SECONDS   (for a GPU; writes to $OUT, keeps its work in /tmp/demo)
set -u
STAGE=$1; END=$(( $(date +%s) + $2 ))
cd "$(dirname "$0")"
W=${W:-/tmp/demo}; PY=${PY:-python3}; MORE=${MORE:-}
mkdir -p $W/work $W/bench "$OUT"
exec > >(tee -a "$OUT/log-$STAGE.txt") 2>&1
if [ -z "${NOPIP:-}" ] && [ ! -d /tmp/site/diffusers ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl || exit 9
fi
export PYTHONPATH=/tmp/site:$PWD PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
export TORCHINDUCTOR_CACHE_DIR=$W/inductor TORCHINDUCTOR_FX_GRAPH_CACHE=1 HF_HUB_OFFLINE=1
for d in work bench; do [ -f $W/$d/vae-start.pt ] || cp vae-start.pt $W/$d/; done
run() { $PY -m tools.demo_model.train_all "$@" $MORE; }
left() { echo $(( END - $(date +%s) )); }
modes() { case "$(cat $W/mode 2>/dev/null)" in graph) echo graph eager;; eager) echo eager;; *) echo ${MODES:-compile graph eager};; esac; }
nvidia-smi --query-gpu=name,memory.used --format=csv,noheader 2>/dev/null; nproc; date

if [ $STAGE = prepare ]; then
  run --until $END --parts vae natural vivid upscaler --work $W/work --out $W/keep --processes 6 &
  VAE=$!
  for m in $(modes); do
    [ $(left) -lt 25 ] && break
    echo "== trying mode $m"
    if run --until $((END - 4)) --parts unet --work $W/bench --out $W/bench-out --processes 7 \
        --pictures 40000 --kept 3000 --first 8000 --mode $m; then
      echo $m > $W/mode; echo "== mode $m works"; break
    fi
    echo "== mode $m failed"; rm -f $W/bench/unet.pt
  done
  wait $VAE; echo "== vae: rc $?"
  rm -rf $W/bench $W/bench-out; mkdir -p $W/keep; cp $W/work/vae.pt $W/keep/; cp $W/keep/* "$OUT"/
else
  PARTS="unet lora embedding look"
  [ -f $W/work/vae.pt ] || PARTS="vae natural vivid upscaler $PARTS"
  cp $W/keep/*.tar "$OUT"/ 2>/dev/null
  # Meanwhile, on the CPU: LoRA, embedding and upscaler of the first edition, as a fallback.
  for part in lora embedding upscaler; do
    (cd first && CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=2 PYTHONPATH=/tmp/site:$PWD timeout $(( $(left) - 25 )) nice $PY -m tools.demo_model.train_extras \
      --model ../../data/demo-model --out $W/first --parts $part --minutes $(( ($(left) - 110) / 60 )) 2>&1 | grep "^data\|step .*00 of\|safetensors\|Error") &
  done
  for m in $(modes); do
    [ $(left) -lt 40 ] && break
    echo "== training in mode $m: $PARTS, $(left) s left"
    run --until $END --parts $PARTS --work $W/work --out "$OUT" --mode $m --looked 64 --processes 8 && break
    echo "== mode $m ended with $?"
  done
  tar -cf "$OUT/first-extras.tar" -C $W/first . 2>/dev/null
fi
ls -la "$OUT"; date; echo "== over"; sleep 1
