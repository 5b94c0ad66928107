// The map's colours: anchors of Matplotlib's inferno (CC0), dark to bright.
const ANCHORS = [
  [0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164],
];

export const INFERNO = Uint8Array.from({ length: 256 * 3 }, (_, at) => {
  const place = (Math.floor(at / 3) / 255) * (ANCHORS.length - 1);
  const low = Math.min(Math.floor(place), ANCHORS.length - 2);
  const [from, to] = [ANCHORS[low][at % 3], ANCHORS[low + 1][at % 3]];
  return Math.round(from + (to - from) * (place - low));
});
