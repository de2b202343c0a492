#!/bin/busybox sh
# The practice guest: a Linux machine whose only work is to write numbered records, and to prove at
# every boot that all of them are there. Everything in here runs inside the guest.
#
# A disk: 64 KiB of header, then a ring of 4080 records of 4 KiB; nothing here touches what is behind
# 16 MiB but homing.load. Of D disks, record n lies on disk (n-1) mod D, in slot ((n-1) div D) mod 4080
# of it: disks that are not of one moment do not fit together.
#
# A record is 32 characters ("REC ", ten digits of its number, the token of the boot that wrote it), all
# over again, and a newline at its end. So its number and its token decide all of it, and each part of
# it tells whose it is: a torn or stale part shows.
#
# The index is the last number and, of each boot, its first number and its token. It is written after
# the record, in turns to the blocks 0 and 1 of the first disk: when one is torn, the other one is of
# the record before, and the one that was in hand was not acknowledged.
#
# Words on the kernel's command line: homing.pace=SECONDS between records, homing.load=KIB to write
# behind 16 MiB first, homing.once (prove and power off), homing.deaf (ignore the power button),
# homing.late=0.NN by how many seconds the hardware's clock is late: QEMU sets it to a whole second.

export PATH=/bin
run=/run
header=16 slots=4080 block=4096
# Boots in the index; the records of older ones are no longer checked.
boots_max=128
zeroes=0000000000

say() { echo "HOMING $*"; }

# Setting the terminal waits until all of it is out; a power-off would not.
off() {
    stty -F /dev/console opost
    poweroff -f
    # A machine that cannot be turned off goes no further.
    exec sleep 2147483647
}

refuse() {
    say "refuses: $*"
    off
}

begin() {
    # What an earlier boot began to say on this console, and a plug cut off, does not run into our words.
    echo " the practice guest boots"
    /bin/busybox mkdir -p /proc /sys /dev /run
    /bin/busybox --install -s /bin
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    look_at_clock
    while read -r module; do insmod "/lib/$module"; done </lib/order
    pace=0 load=0 late=0.50 once='' deaf=''
    read -r line </proc/cmdline
    for word in $line; do
        case $word in
        homing.pace=*) pace=${word#*=} ;;
        homing.load=*) load=${word#*=} ;;
        homing.late=*) late=${word#*=} ;;
        homing.once) once=yes ;;
        homing.deaf) deaf=yes ;;
        esac
    done
    case $pace in '' | *[!0-9.]* | *.*.* | .) refuse "homing.pace=$pace is not a number of seconds" ;; esac
    case $load in '' | *[!0-9]*) refuse "homing.load=$load is not a number of KiB" ;; esac
    case $late in 0.[0-9][0-9]) ;; *) refuse "homing.late=$late is not 0.00 to 0.99" ;; esac
    late=$((1${late#0.} - 100))
    mkfifo $run/button
    exec 9<>$run/button
    [ -n "$deaf" ] || hear
    read -r token </proc/sys/kernel/random/uuid
    token=${token%%-*}${token##*-}
    token=${token%????}
}

# Whatever the power button sends ends this guest, at its next record or in the pause before.
hear() {
    for event in /sys/class/input/event*; do
        read -r name <"$event/device/name"
        [ "$name" = "Power Button" ] || continue
        (
            dd if="/dev/input/${event##*/}" of=/dev/null bs=24 count=1 2>/dev/null
            : >$run/off
            echo >&9
        ) &
    done
}

# Since boot, in hundredths of a second.
uptime() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
    now=${now#"${now%%[1-9]*}"}
}

# The hardware's clock tells whole seconds. Each look at it, and how long after boot that was, says more
# of where they begin: what to add to the time since boot is between `low` and `high`.
low=0 high=999999999999
look_at_clock() {
    uptime
    before=$now
    read -r second </sys/class/rtc/rtc0/since_epoch
    uptime
    [ $((second * 100 - now)) -le $low ] || low=$((second * 100 - now))
    [ $((second * 100 + 100 - before)) -ge $high ] || high=$((second * 100 + 100 - before))
}

find_disks() {
    disks=''
    count=0
    for disk in /dev/vd[a-h]; do
        [ -b "$disk" ] || break
        [ "$(blockdev --getsize64 "$disk")" -ge $(((header + slots) * block)) ] ||
            refuse "$disk has less than 16 MiB"
        disks="$disks $disk"
        count=$((count + 1))
    done
    [ $count -gt 0 ] || refuse "it has no disk"
    first=/dev/vda
    ring=$((count * slots))
}

# To awk a number that begins with 0 is an octal one.
plain='
    function plain(digits) {
        sub(/^0+/, "", digits)
        return digits + 0
    }
'

# One copy of the index: `torn`, or the last number and FIRST:TOKEN of each boot. Never written: `0`.
index() {
    dd if=$first bs=$block skip="$1" count=1 iflag=direct 2>/dev/null | tr '\0' '\n' | awk "$plain"'
        $0 == "" { next }
        length($0) != 511 || $1 !~ /^[0-9]+$/ || length($1) != 10 { torn = 1; exit }
        lines++ == 0 { last = $1 "" }
        $1 "" != last { torn = 1; exit }
        { for (i = 2; i <= NF; i++) boots = boots " " $i }
        END {
            if (torn || (lines != 0 && lines != 8)) print "torn"
            else print plain(last) boots
        }'
}

# Finds `last` and `boots` in the two copies.
read_index() {
    a=$(index 0) b=$(index 1)
    last=0 boots='' wrong=''
    if [ "$a$b" = torntorn ]; then
        wrong="no index"
        return
    fi
    # A copy that is torn is older than it wanted to be: the other one holds.
    [ "$a" = torn ] && a=$b
    [ "$b" = torn ] && b=$a
    x=${a%% *} y=${b%% *}
    [ "$x" -lt "$y" ] && a=$b
    last=${a%% *}
    boots=${a#"$last"}
    case $((x - y)) in
    0 | 1 | -1) ;;
    *) wrong="an index of two moments, of record $x and of record $y" ;;
    esac
}

# The slots that may hold anything on this disk (`free`, -1: none): that of the record after the last.
# `used`: slots with records that must be there; `newest`: how many records this disk ever got.
expect() {
    newest=$(((last - $1 + count - 1) / count))
    used=$((newest < slots ? newest : slots))
    free=-1
    [ $((last % count)) -eq "$1" ] && free=$((last / count % slots))
}

# What awk knows of a disk: the number of the record in a slot, and how a record of that number begins.
rules=$plain'
    function number(slot,   top) {
        if (newest <= slots) return slot * count + at + 1
        top = (newest - 1) % slots
        return (newest - 1 - top + slot - (slot > top ? slots : 0)) * count + at + 1
    }
    function form(n) {
        while (boot > 1 && from[boot] > n) boot--
        while (boot < known && from[boot + 1] <= n) boot++
        return "REC %010d " whose[boot] " "
    }
    BEGIN {
        known = split(boots, list, " ")
        for (i = 1; i <= known; i++) {
            split(list[i], pair, ":")
            from[i] = plain(pair[1])
            whose[i] = pair[2]
        }
        boot = known
        oldest = from[1] + 0
    }
'

# Whether the disk is what it must be. A record is whole when it is its first part, then all of itself
# but its last part: to say that takes half as long as to make the text anew. All else is thought of
# only where the rule changes, at line `turn`; these lines are most of what a boot waits for.
is_whole() {
    dd if="$1" bs=64k skip=1 count=$(((used + 15) / 16)) iflag=direct 2>/dev/null |
        awk $facts -v boots="$boots" "$rules"'
            function sooner(line) { if (line > NR && line < turn) turn = line }
            NR == turn {
                if (NR > used) exit
                slot = NR - 1
                n = number(slot)
                rule = form(n)
                any = slot == free || n < oldest
                turn = used + 1
                sooner(free + 1)
                sooner(free + 2)
                if (newest > slots) sooner((newest - 1) % slots + 2)
                for (i = 1; i <= known; i++) {
                    if (from[i] > n) {
                        sooner(NR + int((from[i] - n + count - 1) / count))
                        break
                    }
                }
            }
            $0 != sprintf(rule, n) substr($0, 1, 4063) && !any {
                torn = 1
                exit
            }
            { n += count }
            END { exit torn || NR < used }' || return
    # Behind them nothing was ever written. Of equal blocks hexdump prints one and `*`, at once.
    rest=$((used == free ? used + 1 : used))
    edge=$(((rest + 15) / 16 * 16))
    [ -z "$({
        dd if="$1" bs=4k skip=$((header + rest)) count=$((edge - rest)) iflag=direct
        dd if="$1" bs=64k skip=$((1 + edge / 16)) count=$(((slots - edge) / 16)) iflag=direct
    } 2>/dev/null | hexdump -e '1024/4 "%x" "\n"' | tr -d '0*\n' | head -c 1)" ]
}

# What is wrong on a disk that is not: how many records, the first one's number and what is there.
# Each block becomes a line, whatever is in it.
judge() {
    dd if="$1" bs=64k skip=1 count=255 iflag=direct 2>/dev/null |
        tr '\0\n' '.~' | hexdump -v -e '"%.4096s\n"' |
        awk $facts -v boots="$boots" "$rules"'
            function found(   head) {
                if ($0 !~ /[^.]/) return "nothing"
                head = substr($0, 1, 32)
                if ($0 == head substr($0, 1, 4063) "~" && head ~ /^REC [0-9]+ [0-9a-f]+ $/)
                    return "record " plain(substr(head, 5, 10)) " of boot " substr(head, 16, 16)
                gsub(/[^ -}]/, "?", head)
                return "no whole record but " head
            }
            function wrong(n, instead) {
                if (bad++ == 0 || n < worst) {
                    worst = n
                    what = instead
                }
            }
            {
                slot = NR - 1
                n = number(slot)
            }
            slot == free { next }
            slot >= used {
                if ($0 ~ /[^.]/) wrong(n, found() " where none was written yet")
                next
            }
            n >= oldest && $0 != sprintf(form(n), n) substr($0, 1, 4063) "~" { wrong(n, found()) }
            END {
                for (slot = NR; slot < used; slot++) wrong(number(slot), "nothing that can be read")
                print bad + 0, worst + 0, what
            }'
}

prove_disks() {
    read_index
    bad=0 worst=''
    if [ -n "$wrong" ]; then bad=1 worst="0 $wrong"; fi
    at=0
    for disk in $disks; do
        expect $at
        facts="-v at=$at -v count=$count -v slots=$slots -v newest=$newest -v used=$used -v free=$free -v turn=1"
        if ! is_whole "$disk"; then
            judge "$disk" >$run/judged
            read -r more where what <$run/judged
            bad=$((bad + more))
            [ -n "$worst" ] && [ "${worst%% *}" -le "$where" ] || worst="$where $what"
        fi
        at=$((at + 1))
        look_at_clock
    done
    say "proved last=$last bad=$bad boot=$token uptime=$(decimal $now)"
    [ $bad -eq 0 ] && return
    say "first bad record ${worst%% *}: found ${worst#* }"
    refuse "its disks are not of one moment, records that are bad: $bad"
}

# The parts of the index that stay the same in one boot, one for each sector, in `s1` to `s8`.
begin_index() {
    digits $((last + 1))
    echo $boots $number:$token | tr ' ' '\n' | tail -n $boots_max | awk -v oldest=$((last + 2 - ring)) "$plain"'
        { entry[NR] = $0 }
        END {
            # Boots of which the ring holds no record any more are left out.
            for (i = 1; i < NR && plain(entry[i + 1]) <= oldest; i++) ;
            for (sector = 0; sector < 8; sector++) {
                line = ""
                for (k = 0; k < 16; k++) line = line (i <= NR ? " " entry[i++] : "")
                printf "%-501s\n", line
            }
        }' >$run/index
    {
        IFS= read -r s1 && IFS= read -r s2 && IFS= read -r s3 && IFS= read -r s4 &&
            IFS= read -r s5 && IFS= read -r s6 && IFS= read -r s7 && IFS= read -r s8
    } <$run/index
}

# A number in ten digits, in `number`. No $(..) here and below: a process less for each record.
digits() {
    number=$zeroes$1
    number=${number#"${number%??????????}"}
}

# Writes one block of a disk, from its input.
put() {
    dd of="$1" bs=$block seek="$2" count=1 iflag=fullblock oflag=direct conv=notrunc 2>$run/said ||
        refuse "record $n cannot be written to $1: $(head -n 1 $run/said)"
}

write_record() {
    digits $n
    x="REC $number $token "
    x=$x$x$x$x$x$x$x$x
    x=$x$x$x$x$x$x$x$x
    x=$x$x
    set -- $disks
    shift $(((n - 1) % count))
    put "$1" $((header + (n - 1) / count % slots)) <<END
${x%?}
END
    put $first $((n % 2)) <<END
$number$s1
$number$s2
$number$s3
$number$s4
$number$s5
$number$s6
$number$s7
$number$s8
END
}

# Hundredths as a decimal number.
decimal() { echo "${1%??}.${1#"${1%??}"}"; }

write_load() {
    tr '\0' '#' </dev/zero | head -c 1048576 >$run/load
    behind=$(((header + slots) * block)) written=0
    while [ $written -lt "$load" ]; do
        part=$((load - written < 1024 ? load - written : 1024))
        dd if=$run/load of=$first bs=${part}k count=1 seek=$((behind + written * 1024)) \
            oflag=direct,seek_bytes conv=notrunc 2>$run/said ||
            refuse "the load cannot be written to $first: $(head -n 1 $run/said)"
        written=$((written + part))
    done
    rm $run/load
}

work() {
    n=$last
    begin_index
    look_at_clock
    clock=$(((low + high) / 2 + late))
    while [ ! -e $run/off ]; do
        n=$((n + 1))
        write_record
        uptime
        when=$((clock + now))
        say "ack $n ${when%??}.${when#"${when%??}"}"
        [ "$pace" = 0 ] || read -r -t "$pace" _ <&9
    done
}

main() {
    begin
    find_disks
    look_at_clock
    prove_disks
    n=$last
    if [ -z "$once" ]; then
        [ "$load" -eq 0 ] || write_load
        work
    fi
    sync
    say "off last=$n"
    off
}

# As the first process of a guest only: anywhere else it would turn a real machine off.
[ $$ -ne 1 ] || main
