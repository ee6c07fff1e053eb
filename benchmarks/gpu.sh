#!/usr/bin/env bash
# Every measurement on a GPU, in one command and in less than 8 minutes; nothing needs to be installed but the packages
# (NumPy, CuPy, matplotlib, tqdm, threadpoolctl; PyTorch for the ratios; pytest and hypothesis for the first line).
#
#     bash benchmarks/gpu.sh                    # writes benchmarks/results/MACHINE-DATE.txt, and prints it
#     bash benchmarks/gpu.sh --list             # only print what would be run, and the seconds that each may take
#     bash benchmarks/gpu.sh --device cpu --quick --out FILE      # a rehearsal without a GPU
#
# A measurement that fails, or takes too long, says so in the file, and the next one follows.
set -uo pipefail
cd "$(dirname "$0")/.."

device=gpu quick=no list=no out=
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=${2:-}; shift ;;
        --out) out=${2:-}; shift ;;
        --quick) quick=yes ;;
        --list) list=yes ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "gpu.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
    shift
done
case $device in cpu | gpu) ;; *) echo "gpu.sh: --device is cpu or gpu, not '$device'" >&2; exit 2 ;; esac

python=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
machine=$device
if [ "$device" = gpu ]; then
    machine=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs 'A-Za-z0-9' '-')
    machine=${machine%-}
fi
out=${out:-benchmarks/results/${machine:-gpu}-$(date +%F).txt}
deadline=450  # seconds after which nothing new is begun
failed=0

# measure SECONDS COMMAND...: run it for that long at most; the rest of its line goes into the file as it is
measure() {
    local limit=$1 status
    shift
    if [ $list = yes ]; then echo "$limit $*"; return; fi
    printf '\n$ %s\n' "$*"
    if [ $SECONDS -gt $deadline ]; then echo "NOT RUN: out of time after $SECONDS s"; failed=1; return; fi
    timeout --kill-after=5 "$limit" "$@" 2>&1
    status=$?
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then echo "STOPPED after $limit s"; failed=1
    elif [ $status -ne 0 ]; then echo "FAILED with status $status"; failed=1; fi
}

all() {
    local turns=() few=() steps=() tf32 precisions=("" --tf32)
    if [ $quick = yes ]; then turns=(--turns 1); few=(--batch 4); steps=(--steps 2 --batch 4); fi
    if [ "$device" = cpu ]; then precisions=(""); fi
    [ $list = yes ] || { date -u '+%F %H:%M UTC'; git log -1 --format='commit %h' 2>/dev/null; }
    measure 20 "$python" -c 'from scratchgan import doctor; doctor.main()'
    measure 50 "$python" -m pytest -q -p no:cacheprovider tests/test_kernels.py tests/test_kernels_compile.py
    for tf32 in "${precisions[@]}"; do
        measure 45 "$python" benchmarks/mlp.py --device "$device" $tf32 "${turns[@]}"
        measure 60 "$python" benchmarks/dcgan.py --device "$device" --case 64 --batch 128 $tf32 "${turns[@]}" "${few[@]}"
        measure 35 "$python" benchmarks/dcgan.py --device "$device" --case 28 $tf32 "${turns[@]}" "${few[@]}"
        measure 35 "$python" benchmarks/wgan_gp.py --device "$device" $tf32 "${turns[@]}"
    done
    measure 90 "$python" benchmarks/parity.py --device "$device" "${steps[@]}"
    measure 40 "$python" benchmarks/first_step.py --device "$device"
    [ $list = yes ] || printf '\n%s s in all\n' $SECONDS
}

if [ $list = yes ]; then all; exit 0; fi
mkdir -p "$(dirname "$out")" || exit 1
all > >(tee "$out.part") 2>&1
wait $! 2>/dev/null
sleep 0.2
mv "$out.part" "$out"
echo "wrote $out"
grep -qE '^(FAILED|STOPPED|NOT RUN)' "$out" && exit 1
exit 0
