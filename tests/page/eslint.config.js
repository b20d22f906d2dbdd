// The linter of the page's scripts. Undefined names are found by the type checker.

import js from "@eslint/js";

export default [
  { ignores: ["**/vendor/**", "**/node_modules/**"] },
  js.configs.recommended,
  {
    rules: {
      "no-undef": "off",
      "no-unused-vars": ["error", { args: "after-used", caughtErrors: "all" }],
      "no-var": "error",
      "prefer-const": "error",
      "eqeqeq": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-console": ["error", { allow: ["error"] }],
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "cssText"].map((property) => ({
          property,
          message: "Build elements; the policy forbids inline styles, and text must not become markup.",
        })),
      ],
      "no-restricted-globals": [
        "error",
        ...["event", "name", "status", "top", "parent", "closed", "length"].map((global) => ({
          name: global,
          message: "A global that is easily meant by mistake; use window's.",
        })),
      ],
      "prefer-template": "error",
      "object-shorthand": "error",
      "no-else-return": "error",
      "no-lonely-if": "error",
      "no-unneeded-ternary": "error",
      "no-self-compare": "error",
      "array-callback-return": "error",
      "no-promise-executor-return": "off",
    },
  },
];
