"use strict";
// Which is real? Every round draws an image of each sheet and a side for the real one; the score is kept in the page only.
const game = document.getElementById("game");
if (game) {
  const side = Number(game.dataset.side), tiles = [...game.querySelectorAll(".tile")];
  const verdict = game.querySelector(".verdict"), next = game.querySelector(".next");
  const draw = (n) => Math.floor(Math.random() * n);
  let real = 0, open = false, rounds = 0, right = 0;

  const show = (tile, sheet) => {
    const at = draw(side * side);
    tile.style.backgroundImage = `var(--${sheet})`;
    tile.style.backgroundPosition = `${(at % side) / (side - 1) * 100}% ${Math.floor(at / side) / (side - 1) * 100}%`;
    tile.classList.remove("is-real", "is-generated", "chosen");
    tile.disabled = false;
  };
  const deal = () => {
    real = draw(2);
    tiles.forEach((tile, i) => show(tile, i === real ? "real" : "generated"));
    verdict.textContent = "\u00a0";
    next.disabled = true;
    open = true;
  };
  const choose = (i) => {
    if (!open) return;
    open = false;
    rounds += 1;
    right += i === real;
    tiles.forEach((tile, k) => {
      tile.classList.add(k === real ? "is-real" : "is-generated");
      tile.classList.toggle("chosen", k === i);
      tile.disabled = true;
    });
    verdict.textContent = `${i === real ? "Right" : "Wrong"}: the ${real ? "right" : "left"} one is real.`;
    game.querySelector(".right").textContent = right;
    game.querySelector(".rounds").textContent = rounds;
    game.querySelector(".luck").textContent = luck();
    next.disabled = false;
    next.focus({preventScroll: true});
  };
  // Wilson's 95% interval against the half that guessing gives.
  const luck = () => {
    if (rounds < 10) return "";
    const z = 1.96, share = right / rounds, middle = (share + z * z / (2 * rounds)) / (1 + z * z / rounds);
    const reach = z / (1 + z * z / rounds) * Math.sqrt(share * (1 - share) / rounds + z * z / (4 * rounds * rounds));
    return middle - reach > 0.5 ? "You can tell them apart." : "No better than guessing, so far.";
  };
  tiles.forEach((tile, i) => tile.addEventListener("click", () => choose(i)));
  next.addEventListener("click", () => { deal(); tiles[0].focus({preventScroll: true}); });
  game.addEventListener("keydown", (event) => {
    const i = ["ArrowLeft", "ArrowRight"].indexOf(event.key);
    if (i >= 0) { event.preventDefault(); choose(i); }
  });
  deal();
}
