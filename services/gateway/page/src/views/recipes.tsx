// The recipes: what each takes, whether it can be cooked now, and how often it was delivered.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import type { Recipe, Shelf } from "../api/types";
import { ProblemNote } from "../parts/basics";
import { loadMenu, menuProblem, recipes } from "../state/menu";
import { dishes, view } from "../state/view";
import { figure, ingredient, quantities, took } from "../text/format";
import { words } from "../text/words";

export function Recipes(): JSX.Element {
  useEffect(() => void loadMenu(), []);
  const shelves = new Map(view.value?.stock.map((shelf) => [shelf.ingredient, shelf]));
  return (
    <>
      <h1>{words.recipesTitle}</h1>
      <ProblemNote problem={menuProblem.value} />
      {recipes.value.length === 0 && menuProblem.value === null && <p class="note">{words.recipesEmpty}</p>}
      <ul class="recipes">
        {recipes.value.map((recipe) => (
          <li key={recipe.name}>
            <RecipeCard recipe={recipe} shelves={shelves} />
          </li>
        ))}
      </ul>
    </>
  );
}

function RecipeCard({ recipe, shelves }: { recipe: Recipe; shelves: Map<string, Shelf> }): JSX.Element {
  const onHand = (name: string): number => shelves.get(name)?.on_hand ?? 0;
  const needs = Object.entries(recipe.ingredients);
  const lacks = Object.fromEntries(needs.map(([name, needed]) => [name, needed - onHand(name)] as const).filter(([, lacking]) => lacking > 0));
  const isCookable = Object.keys(lacks).length === 0;
  const times = Math.min(...needs.map(([name, needed]) => Math.floor(onHand(name) / needed)));
  const delivered = served(recipe.name);
  return (
    <article class={isCookable ? "recipe" : "recipe is-short"}>
      <h2 class="dish">{recipe.name}</h2>
      <ul class="recipe-ingredients">
        {needs.map(([name, needed]) => (
          <li key={name} class={onHand(name) < needed ? "is-short" : undefined}>
            <span>{ingredient(name)}</span>
            <span class="figure">{figure(needed)}</span>
          </li>
        ))}
      </ul>
      <p class="recipe-now">{isCookable ? words.cookable(figure(times)) : words.notCookable(quantities(lacks))}</p>
      <p class="note">
        {words.served(delivered)} · {words.stoveTime(took(recipe.cooking_time_ms))}
      </p>
    </article>
  );
}

function served(dish: string): number {
  const known = dishes.value;
  if (Object.hasOwn(known, dish)) return known[dish]?.delivered ?? 0;
  const counted = view.value?.summary.dishes ?? {};
  return Object.hasOwn(counted, dish) ? (counted[dish] ?? 0) : 0;
}
