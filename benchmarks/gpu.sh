#!/usr/bin/env bash
# Every measurement on a GPU, in one command and in less than 8 minutes; nothing needs to be installed but the packages
# (NumPy, CuPy, matplotlib, tqdm, threadpoolctl; PyTorch for the ratios; pytest and hypothesis for the last line).
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
deadline=465  # seconds after which whatever still runs is stopped, and nothing new is begun

# measure SECONDS COMMAND...: run it for that long at most, and not past the deadline
measure() {
    local limit=$1 left=$((deadline - SECONDS)) status
    shift
    if [ $list = yes ]; then echo "$limit $*"; return; fi
    printf '\n$ %s\n' "$*"
    if [ $left -le 0 ]; then echo "NOT RUN: out of time after $SECONDS s"; return; fi
    timeout --kill-after=5 $((limit < left ? limit : left)) "$@" 2>&1
    status=$?
    case $status in
        0) ;;
        124 | 137) echo "STOPPED after $((limit < left ? limit : left)) s" ;;
        *) echo "FAILED with status $status" ;;
    esac
}

# steps [--tf32]: the times and the memory of all networks
steps() {
    measure 60 "$python" benchmarks/dcgan.py --device "$device" --case 64 --batch 128 "$@" "${turns[@]}" "${few[@]}"
    measure 45 "$python" benchmarks/mlp.py --device "$device" "$@" "${turns[@]}"
    measure 40 "$python" benchmarks/dcgan.py --device "$device" --case 28 "$@" "${turns[@]}" "${few[@]}"
    measure 45 "$python" benchmarks/wgan_gp.py --device "$device" "$@" "${turns[@]}"
}

all() {
    local turns=() few=() short=()
    if [ $quick = yes ]; then turns=(--turns 1); few=(--batch 4); short=(--steps 2 --batch 4); fi
    [ $list = yes ] || { date -u '+%F %H:%M UTC'; git log -1 --format='commit %h' 2>/dev/null; }
    measure 20 "$python" -m scratchgan doctor
    steps
    measure 100 "$python" benchmarks/parity.py --device "$device" "${short[@]}"
    measure 45 "$python" benchmarks/first_step.py --device "$device"
    if [ "$device" = gpu ]; then steps --tf32; fi
    # of these, what runs on a GPU: each kernel beside its twin, and two steps of every example
    measure 100 "$python" -m pytest -q -p no:cacheprovider tests/test_kernels.py -k GPU
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
