// Keeps the lecturer's room in the memory of this browser tab, which lasts through a reload and shows nowhere.

const PLACE = "certssb-room";

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  if (data.room) {
    sessionStorage.setItem(PLACE, data.room);
  } else if (!parentElement.asked) {
    parentElement.asked = true; // once: a room that has ended since is not asked for again
    const kept = sessionStorage.getItem(PLACE);
    if (kept) setStateValue("kept", kept);
  }
}
