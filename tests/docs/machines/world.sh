# Makes the roots of some machines and keeps them; run by world.py in namespaces of its own (mounts, processes, network).
#
# $1 an empty folder, $2 the project, $3 the packages of its environment, $4 the interpreter's own folder, then addresses.
# Nothing of the real machine can be written to from a root: /usr and the like are bound read-only, /etc, /var and
# /usr/local are overlays, and /tmp, /opt, /root, /run are empty. In particular the real /tmp is not there at all.
set -eu
folder=$1 project=$2 packages=$3 interpreter=$4
here=$(dirname "$(readlink -f "$0")")
shift 4

mount -t tmpfs machines "$folder"
mount -t proc proc /proc
ip link set lo up

read_only() {
    mkdir -p "$2"
    mount --bind "$1" "$2"
    mount -o remount,bind,ro "$2"
}

overlay() {
    mkdir -p "$3/upper" "$3/work" "$2"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$2"
}

for address in "$@"; do
    ip address add "$address/32" dev lo
    root=$folder/$address changes=$folder/changes/$address
    mkdir -p "$root"/{dev/shm,opt,proc,root,run,tmp,home,srv,machines} "$changes"
    chmod 1777 "$root/tmp" "$root/dev/shm"
    for name in bin sbin lib lib32 lib64 libx32; do
        [ ! -L "/$name" ] || cp -P "/$name" "$root/$name"
        [ -L "/$name" ] || [ ! -d "/$name" ] || read_only "/$name" "$root/$name"
    done
    read_only /usr "$root/usr"
    for name in etc var usr/local; do overlay "/$name" "$root/$name" "$changes/$name"; done
    rm -rf "$root/var/lib/redis" "$root/var/log" # of a real Redis, in the overlay only
    mkdir -p "$root/var/log"/{nginx,supervisor}
    install -d -o redis -g redis -m 750 "$root/var/lib/redis" "$root/var/log/redis"
    case $interpreter/ in /usr/*) ;; *) read_only "$interpreter" "$root$interpreter" ;; esac
    read_only "$packages" "$root/run/site"
    overlay "$project" "$root/usr/local/src/edgebus" "$changes/source"
    mount -t proc proc "$root/proc"
    for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }"; done
    for pair in fd: stdin:/0 stdout:/1 stderr:/2; do ln -s "/proc/self/fd${pair#*:}" "$root/dev/${pair%%:*}"; done
    install -m 755 "$here/systemctl.py" "$root/usr/local/sbin/systemctl"
    printf '#!/bin/sh\necho %s\n' "$address" >"$root/usr/local/bin/hostname" # -I: all addresses are of one interface here
    chmod 755 "$root/usr/local/bin/hostname"
    [ -e /lib/systemd/system/redis-sentinel.service ] || install -m 644 "$here/redis-sentinel.service" "$root/etc/systemd/system/"
    install -m 755 "$here/scp.sh" "$root/usr/local/bin/scp"
done
for address in "$@"; do
    for other in "$@"; do
        mkdir -p "$folder/$address/machines/$other/etc"
        mount --bind "$folder/$other/etc" "$folder/$address/machines/$other/etc"
    done
done
echo ready
# The first process of a namespace reaps what lost its parent: bash does, while it waits. Its input ends with the test.
while read -r _; do :; done
